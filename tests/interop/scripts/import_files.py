"""How people fill a server: every file below a folder in one upload each.

    python import_files.py HOST PORT FOLDER [USER PASSWORD]

Written for these tests from the description in the Orthanc Book (page "Replication and upgrade").
Files that are no DICOM are reported and passed over.
"""

from __future__ import annotations

import base64
import http.client
import os
import sys


def main(host: str, port: str, folder: str, user: str = "", password: str = "") -> None:
    headers = {"Content-Type": "application/dicom"}
    if user:
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        headers["Authorization"] = f"Basic {token}"
    total = imported = 0
    for root, _, names in os.walk(folder):
        for name in names:
            total += 1
            with open(os.path.join(root, name), "rb") as file:
                content = file.read()
            connection = http.client.HTTPConnection(host, int(port))
            connection.request("POST", "/instances", content, headers)
            answer = connection.getresponse()
            answer.read()
            connection.close()
            if answer.status == 200:
                imported += 1
            else:
                print(f"{name}: {answer.status} {answer.reason}")
    print(f"{imported} of {total} imported")


if __name__ == "__main__":
    main(*sys.argv[1:])
