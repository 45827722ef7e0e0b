"""Plans: every wish is kept to, the same holes give the same plan, nothing gets a double dose."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epicycle.protocols.errors import BadInput
from epicycle.targeting.dose import shots_in_hole
from epicycle.targeting.lattice import basis_of, lattice_points
from epicycle.targeting.plans import Plan, plan_groups
from epicycle.targeting.records import Group
from epicycle.targeting.regroup import followed, regroup
from epicycle.targeting.tilt import Tilt, on_specimen, seen, up_the_beam_um
from epicycle.targeting.wishes import CROSS, Beam, Coma, TimeCosts, Wishes, block, pattern_named


def field(rows: int = 9, cols: int = 9, seed: int = 0, missing: float = 0.0, wobble: float = 0.03) -> np.ndarray:
    rng = np.random.default_rng(seed)
    turn = np.deg2rad(rng.uniform(-40, 40))
    basis = 2.0 * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    points = np.array([(i, j) for i in range(rows) for j in range(cols)]) @ basis
    points = points + rng.normal(0, wobble, points.shape)
    return points[rng.random(len(points)) >= missing]


def check(points: np.ndarray, plan: Plan, wishes: Wishes) -> None:
    """What holds for every plan."""
    members = [member for group in plan.groups for member in group.members]
    assert sorted([*members, *plan.left_out]) == list(range(len(points)))
    lengths = np.hypot(*plan.shifts_um[members].T) if members else np.zeros(0)
    assert (lengths <= wishes.reach_um() * (1 + 1e-9) + 1e-12).all()
    assert np.isfinite(plan.defocus_um[members]).all()
    for group in plan.groups:
        assert len(group.members) >= wishes.minimum_size
        if wishes.defocus_spread_um is not None:
            assert np.ptp(plan.defocus_um[list(group.members)]) <= wishes.defocus_spread_um + 1e-9
    assert plan.lower_bound <= len(plan.groups)
    if wishes.beam is not None:
        check_dose(points, plan, wishes.beam, members)


def check_dose(points: np.ndarray, plan: Plan, beam: Beam, members: list[int]) -> None:
    for hole in members:
        aims = plan.aims_um[hole]
        assert np.hypot(*(aims - points[hole]).T).max() <= max(beam.hole_radius_um - beam.radius_um, 0) + 1e-9
        for other in members:
            if other != hole:
                assert np.hypot(*(aims - points[other]).T).min() >= beam.radius_um + beam.hole_radius_um - 1e-9
    discs = plan.aims_um[members].reshape(-1, 2)
    gaps = np.hypot(*(discs[:, None] - discs[None]).transpose(2, 0, 1)) + np.eye(len(discs)) * 1e9
    assert len(discs) < 2 or gaps.min() >= 2 * beam.radius_um - 1e-9


spots = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=30, unique=True)
some_wishes = st.builds(
    Wishes,
    radius_um=st.sampled_from([0.0, 1.2, 2.5, 4.0]),
    minimum_size=st.integers(1, 3),
    objective=st.sampled_from(["rate", "score"]),
    least_coverage=st.sampled_from([0.0, 0.7, 1.0]),
    centre=st.sampled_from(["hole", "free"]),
    bad_centres=st.booleans(),
    tilt=st.builds(Tilt, st.sampled_from([0.0, 30.0, -45.0]), st.sampled_from([0.0, 37.0])),
    defocus_spread_um=st.sampled_from([None, 0.8, 2.0]),
    beam=st.sampled_from([None, Beam(0.3, 0.25), Beam(0.1, 0.4)]),
    time_limit_s=st.just(0.02),
)


@settings(max_examples=120, deadline=None)
@given(spots, some_wishes, st.randoms(use_true_random=False), st.integers(0, 99))
def test_any_wish(places, wishes, shuffle, seed) -> None:  # type: ignore[no-untyped-def]
    points = 0.5 * np.array(places, dtype=float).reshape(-1, 2)
    values = np.round(np.random.default_rng(seed).random(len(points)), 1)
    plan = plan_groups(points, wishes, values=values)
    check(points, plan, wishes)
    order = list(range(len(points)))
    shuffle.shuffle(order)
    again = plan_groups(points[order], wishes, values=values[order])
    as_before = [(g.x_um, g.y_um, tuple(order[m] for m in g.members)) for g in again.groups]
    assert as_before == [(g.x_um, g.y_um, g.members) for g in plan.groups]


def test_every_hole_is_taken_unless_a_lower_coverage_is_allowed() -> None:
    points = np.vstack([field(), [(60.0, 0.0), (90.0, 0.0)]])
    everything = plan_groups(points, Wishes(radius_um=4))
    assert everything.coverage == 1.0
    assert everything.exact or everything.lower_bound > 0
    by_rate = plan_groups(points, Wishes(radius_um=4, least_coverage=0))
    assert {81, 82} <= set(by_rate.left_out)  # strays cost a move each
    assert by_rate.good_per_hour > everything.good_per_hour
    enough = plan_groups(points, Wishes(radius_um=4, least_coverage=0.99))
    assert enough.coverage >= 0.98
    assert enough.good_per_hour >= everything.good_per_hour


def test_what_is_worth_little_is_left_where_time_decides() -> None:
    points = field(8, 8, 3)
    values = np.where(points[:, 0] > np.median(points[:, 0]), 0.9, 0.05)
    plan = plan_groups(points, Wishes(radius_um=4, least_coverage=0), values=values)
    taken = np.isfinite(plan.defocus_um)
    assert taken[values < 0.5].mean() < 0.2
    all_the_good = plan_groups(points, Wishes(radius_um=4), values=np.where(values > 0.5, values, 0.0))
    assert plan.good_per_hour >= all_the_good.good_per_hour > plan_groups(points, Wishes(radius_um=4)).good_per_hour / 2
    quick = Wishes(radius_um=4, least_coverage=0, costs=TimeCosts(group_s=60, shot_s=1e-6, arrival_s=3600))
    assert plan_groups(points, quick, values=values).coverage > plan.coverage


def test_the_score_leaves_groups_that_cost_more_than_they_cover() -> None:
    points = np.vstack([field(6, 6, 1), [(100.0, 0.0)]])
    wishes = Wishes(radius_um=4, objective="score", weight=4.0)
    whole, best = plan_groups(points, wishes), plan_groups(points, replace(wishes, least_coverage=0))
    assert best.score > whole.score
    assert 36 in best.left_out


@pytest.mark.parametrize("missing", [0.0, 0.2, 0.4])
def test_more_places_to_stand_never_need_more_groups(missing: float) -> None:
    points = field(9, 9, 5, missing)
    at_holes = plan_groups(points, Wishes(radius_um=3))
    free = plan_groups(points, Wishes(radius_um=3, centre="free"))
    lattice = plan_groups(points, Wishes(radius_um=3, centre="lattice"))
    for plan in (free, lattice):
        check(points, plan, Wishes(radius_um=3))
        assert plan.coverage == 1
        assert len(plan.groups) <= len(at_holes.groups)
    assert np.nanmax(np.hypot(*free.shifts_um.T)) <= 3


def test_a_bad_hole_may_be_a_centre_only_where_allowed() -> None:
    points = np.array([(-2.0, 0.0), (0.0, 0.0), (2.0, 0.0)])
    values = [1.0, 0.0, 1.0]
    assert len(plan_groups(points, Wishes(radius_um=2.5), values=values).groups) == 2
    allowed = plan_groups(points, Wishes(radius_um=2.5, bad_centres=True), values=values)
    assert [(g.x_um, sorted(g.members)) for g in allowed.groups] == [(0.0, [0, 2])]
    assert allowed.left_out == {1: "its value is 0"}


def test_patterns_take_their_sites_and_no_others() -> None:
    points = field(9, 9, 2)
    basis = basis_of(points)
    for offsets, size in ((block(3, 3), 9), (CROSS, 5), (((0, 0), (0, 2)), 2)):
        wishes = Wishes(radius_um=6, pattern=offsets)
        plan = plan_groups(points, wishes)
        check(points, plan, wishes)
        assert max(len(group.members) for group in plan.groups) <= size
        for group in plan.groups:
            steps = np.linalg.solve(basis.T, (points[list(group.members)] - (group.x_um, group.y_um)).T).T
            assert {tuple(step) for step in np.rint(steps).tolist()} <= {tuple(map(float, site)) for site in offsets}
    assert len(plan_groups(points, Wishes(radius_um=6, pattern=block(3, 3))).groups) == 9
    in_um = Wishes(radius_um=6, pattern=((0.0, 0.0), tuple(basis[0])), pattern_unit="um")
    assert max(len(g.members) for g in plan_groups(points, in_um).groups) == 2
    assert pattern_named("3x3") == block(3, 3)
    assert pattern_named("all") is None
    with pytest.raises(BadInput, match="no pattern 'star'"):
        pattern_named("star")


def test_tilt_stretches_the_reach_across_its_axis() -> None:
    row = np.array([(0.0, 2.0 * i) for i in range(5)])
    assert len(plan_groups(row, Wishes(radius_um=3)).groups) == 2
    tilted = Wishes(radius_um=3, tilt=Tilt(45))
    plan = plan_groups(row, tilted)
    check(row, plan, tilted)
    assert len(plan.groups) == 1
    np.testing.assert_allclose(plan.shifts_um[:, 1], np.sqrt(0.5) * (row[:, 1] - 4), atol=1e-12)
    np.testing.assert_allclose(plan.defocus_um, np.sqrt(0.5) * (row[:, 1] - 4), atol=1e-12)
    along = plan_groups(row, Wishes(radius_um=3, tilt=Tilt(45, axis_deg=90)))
    assert len(along.groups) == 2
    assert np.nanmax(np.abs(along.defocus_um)) < 1e-9
    flat = Wishes(radius_um=3, tilt=Tilt(45), defocus_spread_um=1.5)
    check(row, plan_groups(row, flat), flat)
    assert len(plan_groups(row, flat).groups) == 5


def test_heights_count_as_tilt_does() -> None:
    points = np.array([(0.0, 0.0), (1.0, 0.0), (2.0, 0.0)])
    heights = np.array([0.0, 0.5, 3.0])
    plan = plan_groups(points, Wishes(radius_um=3, defocus_spread_um=2), heights_um=heights)
    assert len(plan.groups) == 2
    tilt, places = Tilt(30, 20), field(4, 4)
    up = np.linspace(-2, 2, 16)
    np.testing.assert_allclose(on_specimen(seen(places, tilt, up), tilt, up), places, atol=1e-12)
    np.testing.assert_allclose(up_the_beam_um(places, Tilt(), up), up)


def test_coma_shortens_the_reach() -> None:
    coma = Coma(voltage_kv=200, cs_mm=2.7, tilt_mrad_per_um=0.05, resolution_a=3.0, phase_deg=45)
    finer = replace(coma, resolution_a=2.0)
    assert finer.radius_um() == pytest.approx(coma.radius_um() * 8 / 27)
    assert Wishes(radius_um=1e3, coma=coma).reach_um() == coma.radius_um()
    # 2π Cs λ² θ / d³ = 45° with λ = 0.02508 Å
    theta = coma.radius_um() * 0.05e-3
    assert 2 * np.pi * 2.7e7 * 0.02508**2 * theta / 27 == pytest.approx(np.pi / 4, rel=1e-3)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7])
def test_shots_share_a_hole_without_overlap(count: int) -> None:
    beam = Beam(0.2, 0.7)
    shots = shots_in_hole(count, beam)
    assert shots.shape == (count, 2)
    assert np.hypot(*shots.T).max() <= 0.5 + 1e-9
    gaps = np.hypot(*(shots[:, None] - shots[None]).transpose(2, 0, 1)) + np.eye(count) * 9
    assert count == 1 or gaps.min() >= 0.4
    with pytest.raises(BadInput, match="have no room"):
        shots_in_hole(9, beam)


def test_shots_go_where_they_are_told_to_or_the_sentence_says_why_not() -> None:
    beam, told = Beam(0.2, 0.7), ((0.3, 0.1), (-0.3, 0.1), (0.0, -0.4))
    np.testing.assert_array_equal(shots_in_hole(3, beam, told), told)
    with pytest.raises(BadInput, match=r"0.6, 0 µm, with a beam of 0.2 µm radius, reaches beyond a hole of 0.7"):
        shots_in_hole(2, beam, ((0.6, 0.0), (0.0, 0.0)))
    with pytest.raises(BadInput, match=r"0.1, 0 and -0.2, 0 µm would light each other"):
        shots_in_hole(2, beam, ((0.1, 0.0), (-0.2, 0.0)))
    plan = plan_groups(np.array([(0.0, 0.0), (2.5, 0.0)]), Wishes(radius_um=4, beam=beam, shots=3, offsets_um=told))
    np.testing.assert_allclose(plan.aims_um[1], np.add(told, (2.5, 0.0)))
    with pytest.raises(BadInput, match="3 offsets are given for 2 shots"):
        Wishes(radius_um=4, beam=beam, shots=2, offsets_um=told)


def test_of_two_holes_in_each_others_way_the_better_is_shot() -> None:
    points = np.array([(0.0, 0.0), (0.8, 0.0), (5.0, 0.0)])
    wishes = Wishes(radius_um=4, beam=Beam(0.5, 0.6))
    plan = plan_groups(points, wishes, values=[0.3, 0.9, 0.5])
    assert set(plan.left_out) == {0}
    check(points, plan, wishes)


def test_groups_stay_when_nothing_about_them_changes() -> None:
    points = field(9, 9, 4)
    wishes = Wishes(radius_um=4)
    before = plan_groups(points, wishes)
    assert regroup(points, wishes, before.groups).groups == before.groups
    lost = before.groups[2].members[-1]
    values = np.ones(len(points))
    values[lost] = 0.0
    after = regroup(points, wishes, before.groups, values=values)
    assert [g for g in after.groups if g in before.groups] == [g for n, g in enumerate(before.groups) if n != 2]
    assert lost in after.left_out
    check(points, after, wishes)


def test_added_holes_join_a_group_that_reaches_them_or_get_their_own() -> None:
    points = field(6, 6, 4)
    wishes = Wishes(radius_um=4)
    before = plan_groups(points, wishes)
    more = np.vstack([[(70.0, 70.0)], points, [points[0] + (0.7, 0.7)]])
    after = regroup(more, wishes, followed(before.groups, points, more))
    check(more, after, wishes)
    assert len(after.groups) == len(before.groups) + 1
    places = {(g.x_um, g.y_um) for g in before.groups}
    assert places <= {(g.x_um, g.y_um) for g in after.groups}


def test_exposed_holes_leave_their_group_where_it_is() -> None:
    points = field(6, 6, 7)
    wishes = Wishes(radius_um=4, minimum_size=3)
    before = plan_groups(points, wishes)
    done = np.zeros(len(points), dtype=bool)
    first = before.groups[0]
    done[list(first.members[:-1])] = True  # its centre too
    after = regroup(points, wishes, before.groups, exposed=done)
    assert Group(first.x_um, first.y_um, first.members[-1:]) in after.groups
    assert set(before.groups[1:]) <= set(after.groups)
    assert {after.left_out[m] for m in first.members[:-1]} == {"it was exposed"}


def test_no_new_hole_is_lit_beside_an_exposed_one() -> None:
    wishes = Wishes(radius_um=4, beam=Beam(0.5, 0.6))
    points = np.array([(0.0, 0.0), (0.9, 0.0), (6.0, 0.0)])
    after = regroup(points, wishes, [Group(0.0, 0.0, (0,))], exposed=[True, False, False])
    assert [g.members for g in after.groups] == [(2,)]


@pytest.mark.parametrize("angle", [0.0, 13.0, 45.0, 80.0])
@pytest.mark.parametrize("between", [60.0, 90.0])
def test_the_lattice_is_found(angle: float, between: float) -> None:
    rng = np.random.default_rng(2)
    ways = np.deg2rad([angle, angle + between])
    basis = 1.7 * np.column_stack([np.cos(ways), np.sin(ways)])
    points = np.array([(i, j) for i in range(25) for j in range(25)]) @ basis + rng.normal(0, 0.03, (625, 2))
    points = points[rng.random(625) > 0.2]
    steps = np.linalg.solve(basis.T, basis_of(points).T).T
    assert abs(np.linalg.det(np.rint(steps))) == 1
    np.testing.assert_allclose(steps, np.rint(steps), atol=0.005)
    sites = lattice_points(points, basis_of(points), 2.0)
    gaps = np.hypot(*(points[:, None] - sites[None]).transpose(2, 0, 1)).min(axis=1)
    assert gaps.max() < 0.3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"radius_um": -1}, "radius is -1 µm"),
        ({"minimum_size": 0}, "cannot have 0 holes"),
        ({"least_coverage": 1.5}, "share from 0 to 1"),
        ({"shots": 2}, "need the radius of the beam"),
        ({"pattern": ()}, "no offsets"),
        ({"weight": -1}, "weight of a group"),
        ({"defocus_spread_um": -1.0}, "defocus spread"),
        ({"time_limit_s": -1.0}, "time limit"),
    ],
)
def test_wishes_that_cannot_be_are_refused(options, said) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BadInput, match=said):
        Wishes(**{"radius_um": 4.0, **options})


def test_bad_input_is_one_sentence() -> None:
    with pytest.raises(BadInput, match="value of hole 1"):
        plan_groups([(0, 0), (3, 3)], Wishes(radius_um=4), values=[1, 1.5])
    with pytest.raises(BadInput, match="tilt of 89"):
        Tilt(89)
    with pytest.raises(BadInput, match="on one line"):
        plan_groups([(0, 0), (2, 0), (4, 0), (6, 0)], Wishes(radius_um=4, pattern=CROSS))
    with pytest.raises(BadInput, match="none of the 1 holes"):
        regroup([(0, 0)], Wishes(radius_um=4), [Group(0, 0, (3,))])
    assert plan_groups([], Wishes(radius_um=4)).groups == ()
