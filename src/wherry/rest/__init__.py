"""The REST API of Orthanc: parse, call, render. It decides nothing.

arguments   what stands behind the question mark
rendering   values of ``model`` → JSON of Orthanc
resources   patients, studies, series and instances as such
instances   what only instances have: file, tags, metadata
upload      POST /instances; ``zipped`` for archives
search      /tools/find and /tools/lookup
changes, jobs, peers, plugins, system, tools
"""

from wherry.rest.routes import routes

__all__ = ["routes"]
