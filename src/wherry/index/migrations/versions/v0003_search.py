"""Search keys for the patient tags of studies. A database that holds something is filled in."""

import orjson
from alembic import op
from sqlalchemy import text

from wherry.index.keys import STUDY_PATIENT_COLUMNS, column_keys
from wherry.index.schema import statements

revision = "0003"
down_revision = "0002"

_ROWS_AT_ONCE = 1_000


def upgrade() -> None:
    for statement in statements(revision, op.get_context().dialect.name):
        op.execute(statement)
    _patient_keys_of_studies()


def _patient_keys_of_studies() -> None:
    connection = op.get_bind()
    page = text("SELECT id, patient_tags FROM studies WHERE id > :last ORDER BY id LIMIT :count")
    columns = ", ".join(f"{column} = :{column}" for column in STUDY_PATIENT_COLUMNS.values())
    update = text(f"UPDATE studies SET {columns} WHERE id = :row")
    last = 0
    while rows := connection.execute(page, {"last": last, "count": _ROWS_AT_ONCE}).fetchall():
        values = []
        for row, tags in rows:
            keys = column_keys(STUDY_PATIENT_COLUMNS, orjson.loads(tags))
            values.append(
                {"row": row} | dict(zip(STUDY_PATIENT_COLUMNS.values(), keys, strict=True))
            )
        connection.execute(update, values)
        last = rows[-1][0]
