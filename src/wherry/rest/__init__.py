"""The REST API of Orthanc: parse, call, render. It decides nothing.

arguments   what stands behind the question mark
rendering   values of ``model`` → JSON of Orthanc
resources   patients, studies, series and instances as such
instances   tags and header of an instance; ``contents`` single values, ``frames`` raw images
creating    /tools/create-dicom; ``editing`` instances that are modified
kindred     tags of many instances: modules, shared tags; ``slices`` their order in space
upload      POST /instances; ``zipped`` for archives
search      /tools/find and /tools/lookup
asking      queries to modalities; ``queries`` what they answered, and asking on from there;
            ``retrieving`` brings it
changes, jobs, peers, plugins, system, tools
"""

from wherry.rest.routes import routes

__all__ = ["routes"]
