"""Orthanc's REST API: parse, call, render."""
