"""Several shots in a hole: an exposure is known by its hole and its shot's number. Earlier exposures are shot 0."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Give holes their planned shots, exposures their number within the hole, and lock each such pair."""
    op.add_column("hole", sa.Column("shots", sa.JSON(), nullable=True))
    # SQLite rebuilds the table for a changed constraint, and its checks are not read back from it.
    checks = (
        sa.CheckConstraint(
            "analysis IN ('none', 'waiting', 'done', 'failed')", name=op.f("ck_exposure_analysis_known")
        ),
        sa.CheckConstraint("status IN ('intended', 'done', 'lost', 'failed')", name=op.f("ck_exposure_status_known")),
    )
    with op.batch_alter_table("exposure", table_args=checks) as exposure:
        exposure.add_column(sa.Column("shot", sa.Integer(), nullable=False, server_default="0"))
        exposure.drop_constraint("uq_exposure_hole_id", type_="unique")
        exposure.create_unique_constraint("uq_exposure_hole_id_shot", ["hole_id", "shot"])


def downgrade() -> None:
    """Refuse: a record with several shots in a hole has no form in the first schema."""
    raise RuntimeError("several shots in a hole cannot be told in the first schema")
