"""Filling one server from a folder or from another server, over REST; either may be an Orthanc. And
taking over the store of an Orthanc in place.

remote     the other end: the few requests that are needed
local      files of this machine, and temporary ones
folder     which files lie in a folder
importing  folder → server
copying    server → server
report     what became of everything

survey       what there is to adopt, and what would be lost
whereabouts  where the files of an Orthanc lie
adoption     its index → ours
filecheck    files against what the index says of them
"""
