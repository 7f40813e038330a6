"""The comparison with Debian's Orthanc: data, load, measurement. Never imported by Wherry."""
