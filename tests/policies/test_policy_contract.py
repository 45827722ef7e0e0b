"""The four built-in policies keep the contract, with and without options."""

from epicycle.policies.cluster_sampling import cluster_sampling
from epicycle.policies.contract import PolicyContract
from epicycle.policies.first_come import first_come
from epicycle.policies.group_sampling import group_sampling
from epicycle.policies.random_choice import random_choice
from epicycle.policies.records import Policy


class TestFirstCome(PolicyContract):
    def make(self) -> Policy:
        return first_come({})


class TestRandom(PolicyContract):
    def make(self) -> Policy:
        return random_choice({})


class TestClusterSampling(PolicyContract):
    def make(self) -> Policy:
        return cluster_sampling({})


class TestClusterSamplingByLot(PolicyContract):
    def make(self) -> Policy:
        return cluster_sampling({"within": "random", "groups": 3, "ice_max_nm": 90})


class TestGroupSampling(PolicyContract):
    def make(self) -> Policy:
        return group_sampling({})


class TestGroupSamplingNarrow(PolicyContract):
    def make(self) -> Policy:
        return group_sampling(
            {"groups": 4, "per_group": 1, "area_min_um2": 600, "minimum_score": 0.3, "ice_min_nm": 20}
        )
