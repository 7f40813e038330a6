"""Instances that go to a modality (C-STORE), one or a whole job of them."""
