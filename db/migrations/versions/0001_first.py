"""The first schema: everything one night leaves behind.

Tables are written out here, never taken from the models: those move on, this file does not.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_SESSION_POINTS_TO = {"grid_id": "grid", "square_id": "square", "group_id": "bis_group"}


def upgrade() -> None:
    """Make all tables, and the triggers that keep the event log append-only."""
    _make_night()
    _make_places()
    _make_log()
    _make_people()
    sqlite = op.get_context().dialect.name == "sqlite"
    if not sqlite:
        # The session points to rows that point to it; only SQLite takes that before the other tables exist.
        for column, table in _SESSION_POINTS_TO.items():
            op.create_foreign_key(f"fk_session_{column}", "session", table, [column], ["id"])
    for statement in _TRIGGERS_SQLITE if sqlite else _TRIGGERS_POSTGRESQL:
        op.execute(statement)


def downgrade() -> None:
    """Refuse: before the first schema there is nothing to go back to."""
    raise RuntimeError("there is no schema before the first")


def _make_night() -> None:
    """Make the tables of the night, its writer and its grids."""
    cycle = _SESSION_POINTS_TO if op.get_context().dialect.name == "sqlite" else {}
    op.create_table(
        "session",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("protocol", sa.JSON(), nullable=False),
        sa.Column("cassette", sa.JSON(), nullable=False),
        sa.Column("microscope", sa.JSON(), nullable=False),
        sa.Column("plugins", sa.JSON(), nullable=False),
        sa.Column("code_version", sa.String(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("phase", sa.String(), nullable=False),
        sa.Column("run_status", sa.String(), nullable=False),
        sa.Column("pass_number", sa.Integer(), nullable=False),
        sa.Column("grid_id", sa.Integer(), nullable=True),
        sa.Column("square_id", sa.Integer(), nullable=True),
        sa.Column("group_id", sa.Integer(), nullable=True),
        sa.Column("doing", sa.String(), nullable=False),
        sa.Column("started_at", sa.DateTime(), nullable=False),
        sa.Column("deadline_at", sa.DateTime(), nullable=True),
        sa.Column("finished_at", sa.DateTime(), nullable=True),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("resumes", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "run_status IN ('running', 'pausing', 'paused', 'stopping', 'stopped', 'parked', 'finished')",
            name=op.f("ck_session_run_status_known"),
        ),
        sa.PrimaryKeyConstraint("id", name="pk_session"),
        *(
            sa.ForeignKeyConstraint([column], [f"{table}.id"], name=f"fk_session_{column}")
            for column, table in cycle.items()
        ),
    )
    op.create_table(
        "lease",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("user", sa.String(), nullable=False),
        sa.Column("taken_at", sa.DateTime(), nullable=False),
        sa.Column("beat_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_lease"),
    )
    op.create_table(
        "grid",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("session_id", sa.Integer(), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("hole_type", sa.String(), nullable=False),
        sa.Column("mesh", sa.String(), nullable=False),
        sa.Column("material", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("loads", sa.Integer(), nullable=False),
        sa.Column("load_attempts", sa.Integer(), nullable=False),
        sa.Column("frame", sa.JSON(), nullable=True),
        sa.Column("passes_done", sa.Integer(), nullable=False),
        sa.Column("visit_order", sa.Integer(), nullable=True),
        sa.Column("angle_deg", sa.Double(), nullable=True),
        sa.Column("first_loaded_at", sa.DateTime(), nullable=True),
        sa.Column("finished_at", sa.DateTime(), nullable=True),
        sa.Column("used_s", sa.Double(), nullable=False),
        sa.CheckConstraint(
            "status IN ('waiting', 'loading', 'loaded', 'screened', 'empty', 'skipped', 'failed')",
            name=op.f("ck_grid_status_known"),
        ),
        sa.ForeignKeyConstraint(["session_id"], ["session.id"], name="fk_grid_session_id"),
        sa.PrimaryKeyConstraint("id", name="pk_grid"),
        sa.UniqueConstraint("session_id", "slot", name="uq_grid_session_id_slot"),
    )


def _make_places() -> None:
    """Make the tables of images and of everything that has a place on a grid."""
    op.create_table(
        "image",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("session_id", sa.Integer(), nullable=False),
        sa.Column("of_kind", sa.String(), nullable=False),
        sa.Column("of_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("rows_px", sa.Integer(), nullable=False),
        sa.Column("cols_px", sa.Integer(), nullable=False),
        sa.Column("frames", sa.Integer(), nullable=False),
        sa.Column("pixel_size_a", sa.Double(), nullable=True),
        sa.Column("image_to_stage", sa.JSON(), nullable=True),
        sa.Column("preset", sa.String(), nullable=False),
        sa.Column("dose_e_per_a2", sa.Double(), nullable=True),
        sa.Column("mean_counts", sa.Double(), nullable=True),
        sa.Column("scope", sa.JSON(), nullable=False),
        sa.Column("taken_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["session_id"], ["session.id"], name="fk_image_session_id"),
        sa.PrimaryKeyConstraint("id", name="pk_image"),
        sa.UniqueConstraint("name", name="uq_image_name"),
    )
    op.create_table(
        "atlas",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("grid_id", sa.Integer(), nullable=False),
        sa.Column("load_number", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=True),
        sa.Column("vacuum_counts", sa.Double(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["grid_id"], ["grid.id"], name="fk_atlas_grid_id"),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name="fk_atlas_image_id"),
        sa.PrimaryKeyConstraint("id", name="pk_atlas"),
    )
    op.create_index("ix_atlas_grid_id", "atlas", ["grid_id"], unique=False)
    op.create_table(
        "tile",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("atlas_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("row", sa.Integer(), nullable=False),
        sa.Column("col", sa.Integer(), nullable=False),
        sa.Column("stage_x_um", sa.Double(), nullable=False),
        sa.Column("stage_y_um", sa.Double(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=True),
        sa.Column("offset_row_px", sa.Double(), nullable=True),
        sa.Column("offset_col_px", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["atlas_id"], ["atlas.id"], name="fk_tile_atlas_id"),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name="fk_tile_image_id"),
        sa.PrimaryKeyConstraint("id", name="pk_tile"),
        sa.UniqueConstraint("atlas_id", "number", name="uq_tile_atlas_id_number"),
    )
    op.create_table(
        "square",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("grid_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("stage_x_um", sa.Double(), nullable=False),
        sa.Column("stage_y_um", sa.Double(), nullable=False),
        sa.Column("stage_z_um", sa.Double(), nullable=True),
        sa.Column("corners_um", sa.JSON(), nullable=False),
        sa.Column("area_um2", sa.Double(), nullable=False),
        sa.Column("mean", sa.Double(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("category", sa.String(), nullable=False),
        sa.Column("partial", sa.Boolean(), nullable=False),
        sa.Column("features", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("visit_order", sa.Integer(), nullable=True),
        sa.Column("pass_number", sa.Integer(), nullable=True),
        sa.Column("correction_x_um", sa.Double(), nullable=False),
        sa.Column("correction_y_um", sa.Double(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=True),
        sa.Column("lattice", sa.JSON(), nullable=True),
        sa.Column("vacuum_counts", sa.Double(), nullable=True),
        sa.CheckConstraint(
            "status IN ('found', 'chosen', 'surveyed', 'done', 'skipped', 'failed')",
            name=op.f("ck_square_status_known"),
        ),
        sa.ForeignKeyConstraint(["grid_id"], ["grid.id"], name="fk_square_grid_id"),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name="fk_square_image_id"),
        sa.PrimaryKeyConstraint("id", name="pk_square"),
        sa.UniqueConstraint("grid_id", "number", name="uq_square_grid_id_number"),
    )
    op.create_index("ix_square_grid_id", "square", ["grid_id"], unique=False)
    op.create_table(
        "bis_group",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("square_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("stage_x_um", sa.Double(), nullable=False),
        sa.Column("stage_y_um", sa.Double(), nullable=False),
        sa.Column("visit_order", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("target_defocus_um", sa.Double(), nullable=True),
        sa.Column("correction_x_um", sa.Double(), nullable=False),
        sa.Column("correction_y_um", sa.Double(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=True),
        sa.Column("focus_um", sa.Double(), nullable=True),
        sa.Column("drift_a_per_s", sa.Double(), nullable=True),
        sa.CheckConstraint(
            "status IN ('chosen', 'centred', 'done', 'skipped', 'failed')", name=op.f("ck_bis_group_status_known")
        ),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name="fk_bis_group_image_id"),
        sa.ForeignKeyConstraint(["square_id"], ["square.id"], name="fk_bis_group_square_id"),
        sa.PrimaryKeyConstraint("id", name="pk_bis_group"),
        sa.UniqueConstraint("square_id", "number", name="uq_bis_group_square_id_number"),
    )
    op.create_index("ix_bis_group_square_id", "bis_group", ["square_id"], unique=False)
    op.create_table(
        "hole",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("square_id", sa.Integer(), nullable=False),
        sa.Column("group_id", sa.Integer(), nullable=True),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("stage_x_um", sa.Double(), nullable=False),
        sa.Column("stage_y_um", sa.Double(), nullable=False),
        sa.Column("radius_um", sa.Double(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("features", sa.JSON(), nullable=False),
        sa.Column("ice_nm", sa.Double(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("visit_order", sa.Integer(), nullable=True),
        sa.Column("added_by", sa.String(), nullable=False),
        sa.CheckConstraint(
            "status IN ('found', 'chosen', 'exposed', 'skipped', 'failed', 'lost')", name=op.f("ck_hole_status_known")
        ),
        sa.ForeignKeyConstraint(["group_id"], ["bis_group.id"], name="fk_hole_group_id"),
        sa.ForeignKeyConstraint(["square_id"], ["square.id"], name="fk_hole_square_id"),
        sa.PrimaryKeyConstraint("id", name="pk_hole"),
        sa.UniqueConstraint("square_id", "number", name="uq_hole_square_id_number"),
    )
    op.create_index("ix_hole_group_id", "hole", ["group_id"], unique=False)
    op.create_index("ix_hole_square_id", "hole", ["square_id"], unique=False)
    op.create_table(
        "exposure",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("hole_id", sa.Integer(), nullable=False),
        sa.Column("group_id", sa.Integer(), nullable=True),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=True),
        sa.Column("shift_x_um", sa.Double(), nullable=False),
        sa.Column("shift_y_um", sa.Double(), nullable=False),
        sa.Column("offset_x_um", sa.Double(), nullable=False),
        sa.Column("offset_y_um", sa.Double(), nullable=False),
        sa.Column("target_defocus_um", sa.Double(), nullable=False),
        sa.Column("dose_e_per_a2", sa.Double(), nullable=True),
        sa.Column("taken_at", sa.DateTime(), nullable=True),
        sa.Column("analysis", sa.String(), nullable=False),
        sa.Column("analysis_due_at", sa.DateTime(), nullable=True),
        sa.Column("flags", sa.JSON(), nullable=False),
        sa.Column("usable", sa.Boolean(), nullable=True),
        sa.CheckConstraint(
            "analysis IN ('none', 'waiting', 'done', 'failed')", name=op.f("ck_exposure_analysis_known")
        ),
        sa.CheckConstraint("status IN ('intended', 'done', 'lost', 'failed')", name=op.f("ck_exposure_status_known")),
        sa.ForeignKeyConstraint(["group_id"], ["bis_group.id"], name="fk_exposure_group_id"),
        sa.ForeignKeyConstraint(["hole_id"], ["hole.id"], name="fk_exposure_hole_id"),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name="fk_exposure_image_id"),
        sa.PrimaryKeyConstraint("id", name="pk_exposure"),
        sa.UniqueConstraint("hole_id", name="uq_exposure_hole_id"),
    )


def _make_log() -> None:
    """Make the tables of what was measured, done, said, chosen, asked and suffered."""
    op.create_table(
        "measure",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("of_kind", sa.String(), nullable=False),
        sa.Column("of_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_measure"),
        sa.UniqueConstraint("of_kind", "of_id", "name", "version", name="uq_measure_of_kind_of_id_name_version"),
    )
    op.create_table(
        "step",
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("session_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("grid_id", sa.Integer(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("intent", sa.JSON(), nullable=False),
        sa.Column("started_at", sa.DateTime(), nullable=False),
        sa.Column("ended_at", sa.DateTime(), nullable=True),
        sa.Column("error", sa.String(), nullable=False),
        sa.CheckConstraint("status IN ('started', 'done', 'failed', 'lost')", name=op.f("ck_step_status_known")),
        sa.ForeignKeyConstraint(["grid_id"], ["grid.id"], name="fk_step_grid_id"),
        sa.ForeignKeyConstraint(["session_id"], ["session.id"], name="fk_step_session_id"),
        sa.PrimaryKeyConstraint("key", name="pk_step"),
    )
    op.create_index("ix_step_grid_id", "step", ["grid_id"], unique=False)
    op.create_table(
        "event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("session_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("step_key", sa.String(), nullable=True),
        sa.Column("grid_id", sa.Integer(), nullable=True),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["session_id"], ["session.id"], name="fk_event_session_id"),
        sa.PrimaryKeyConstraint("id", name="pk_event"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_event_session_id", "event", ["session_id"], unique=False)
    op.create_table(
        "decision",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("session_id", sa.Integer(), nullable=False),
        sa.Column("event_id", sa.Integer(), nullable=True),
        sa.Column("question", sa.String(), nullable=False),
        sa.Column("of_kind", sa.String(), nullable=False),
        sa.Column("of_id", sa.Integer(), nullable=False),
        sa.Column("pass_number", sa.Integer(), nullable=False),
        sa.Column("policy", sa.String(), nullable=False),
        sa.Column("policy_version", sa.String(), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("seen_upto", sa.Integer(), nullable=False),
        sa.Column("offered", sa.JSON(), nullable=False),
        sa.Column("chosen", sa.JSON(), nullable=False),
        sa.Column("scores", sa.JSON(), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("summary", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["event_id"], ["event.id"], name="fk_decision_event_id"),
        sa.ForeignKeyConstraint(["session_id"], ["session.id"], name="fk_decision_session_id"),
        sa.PrimaryKeyConstraint("id", name="pk_decision"),
    )
    op.create_table(
        "command",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("session_id", sa.Integer(), nullable=False),
        sa.Column("verb", sa.String(), nullable=False),
        sa.Column("args", sa.JSON(), nullable=False),
        sa.Column("asked_by", sa.String(), nullable=False),
        sa.Column("asked_at", sa.DateTime(), nullable=False),
        sa.Column("idempotency_key", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("answer", sa.String(), nullable=False),
        sa.Column("answered_at", sa.DateTime(), nullable=True),
        sa.CheckConstraint("status IN ('asked', 'obeyed', 'refused')", name=op.f("ck_command_status_known")),
        sa.ForeignKeyConstraint(["session_id"], ["session.id"], name="fk_command_session_id"),
        sa.PrimaryKeyConstraint("id", name="pk_command"),
        sa.UniqueConstraint("session_id", "idempotency_key", name="uq_command_session_id_idempotency_key"),
    )
    op.create_table(
        "fault",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("session_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("grid_id", sa.Integer(), nullable=True),
        sa.Column("step_key", sa.String(), nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("recovery", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["grid_id"], ["grid.id"], name="fk_fault_grid_id"),
        sa.ForeignKeyConstraint(["session_id"], ["session.id"], name="fk_fault_session_id"),
        sa.PrimaryKeyConstraint("id", name="pk_fault"),
    )


def _make_people() -> None:
    """Make the tables of people's words and of the wall clock's duties."""
    op.create_table(
        "label",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("of_kind", sa.String(), nullable=False),
        sa.Column("of_id", sa.Integer(), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_label"),
    )
    op.create_table(
        "note",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("of_kind", sa.String(), nullable=False),
        sa.Column("of_id", sa.Integer(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_note"),
    )
    op.create_table(
        "job",
        sa.Column("id", sa.String(length=191), nullable=False),
        sa.Column("next_run_time", sa.Double(), nullable=True),
        sa.Column("job_state", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_job"),
    )
    op.create_index("ix_job_next_run_time", "job", ["next_run_time"], unique=False)


_TRIGGERS_SQLITE = (
    """CREATE TRIGGER event_keeps_its_rows BEFORE UPDATE ON event
    BEGIN SELECT RAISE(ABORT, 'events are never changed'); END""",
    """CREATE TRIGGER event_keeps_all_rows BEFORE DELETE ON event
    BEGIN SELECT RAISE(ABORT, 'events are never deleted'); END""",
    # INSERT OR REPLACE deletes without asking the trigger above.
    """CREATE TRIGGER event_is_never_replaced BEFORE INSERT ON event
    WHEN EXISTS (SELECT 1 FROM event WHERE id = NEW.id)
    BEGIN SELECT RAISE(ABORT, 'events are never replaced'); END""",
)

_TRIGGERS_POSTGRESQL = (
    """CREATE FUNCTION event_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'events are never changed or deleted'; END $$""",
    """CREATE TRIGGER event_keeps_its_rows BEFORE UPDATE OR DELETE ON event
    FOR EACH ROW EXECUTE FUNCTION event_is_append_only()""",
    """CREATE TRIGGER event_keeps_all_rows BEFORE TRUNCATE ON event
    FOR EACH STATEMENT EXECUTE FUNCTION event_is_append_only()""",
)
