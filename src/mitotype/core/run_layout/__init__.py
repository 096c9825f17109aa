"""The files of a run and of a bundle: their names and their records. Format 2; files that 0.1.0 wrote are read too."""

from mitotype.core.run_layout.bundle import BundleRecord, LocalLabelsRecord, bundle_digest, check_no_run, read_bundle
from mitotype.core.run_layout.decision import (
    Abstention,
    Calibration,
    CombinerRecord,
    CrossFitUnit,
    DecisionRecord,
    FittedOn,
    Threshold,
)
from mitotype.core.run_layout.ensemble import EnsemblePlan, EnsembleRecord, EnsembleSource, read_ensemble, read_plan
from mitotype.core.run_layout.evaluation import EntryRecord, EvaluationRecord, Interval, Variant
from mitotype.core.run_layout.graph import GraphRecord, graph_digest, read_metadata
from mitotype.core.run_layout.ledger import Opening, append_opening, now, read_ledger
from mitotype.core.run_layout.log import LogLine, OnLog
from mitotype.core.run_layout.member import (
    ArchitectureRecord,
    HeadRecord,
    MemberRecord,
    WeightsSource,
    read_head,
    read_member,
    read_weights,
)  # fmt: skip
from mitotype.core.run_layout.ood import LinearDetector, OodRates, OodRecord, read_ood
from mitotype.core.run_layout.operating import OperatingCurve, OperatingPoint
from mitotype.core.run_layout.patches import read_patches, read_scores
from mitotype.core.run_layout.run import (
    DataRecord,
    Machine,
    PluginRecord,
    RunRecord,
    SplitRecord,
    TargetsRecord,
    deployed_members,
    read_finished_run,
    read_run,
)

__all__ = [
    "Abstention",
    "ArchitectureRecord",
    "BundleRecord",
    "Calibration",
    "CombinerRecord",
    "CrossFitUnit",
    "DataRecord",
    "DecisionRecord",
    "EnsemblePlan",
    "EnsembleRecord",
    "EnsembleSource",
    "EntryRecord",
    "EvaluationRecord",
    "FittedOn",
    "GraphRecord",
    "HeadRecord",
    "Interval",
    "LinearDetector",
    "LocalLabelsRecord",
    "LogLine",
    "Machine",
    "MemberRecord",
    "OnLog",
    "OodRates",
    "OodRecord",
    "Opening",
    "OperatingCurve",
    "OperatingPoint",
    "PluginRecord",
    "RunRecord",
    "SplitRecord",
    "TargetsRecord",
    "Threshold",
    "Variant",
    "WeightsSource",
    "append_opening",
    "bundle_digest",
    "check_no_run",
    "deployed_members",
    "graph_digest",
    "now",
    "read_bundle",
    "read_ensemble",
    "read_finished_run",
    "read_head",
    "read_ledger",
    "read_member",
    "read_metadata",
    "read_ood",
    "read_patches",
    "read_plan",
    "read_run",
    "read_scores",
    "read_weights",
]  # fmt: skip
