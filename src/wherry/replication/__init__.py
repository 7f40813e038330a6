"""Filling one server from a folder or from another server, over REST; either may be an Orthanc.

remote     the other end: the few requests that are needed
local      files of this machine, and temporary ones
folder     which files lie in a folder
importing  folder → server
copying    server → server
report     what became of everything
"""
