"""Titles of the metrics, and those that tables show."""

TITLES = {
    "balanced_accuracy": "balanced accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "accuracy": "accuracy",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "brier": "Brier score",
    "log_loss": "log loss",
    "ece": "ECE",
    "observed_expected": "observed / expected",
    "calibration_intercept": "calibration intercept",
    "calibration_slope": "calibration slope",
}
SHORT_TITLES = TITLES | {
    "balanced_accuracy": "bal. acc.",
    "sensitivity": "sens.",
    "specificity": "spec.",
    "brier": "Brier",
    "observed_expected": "obs. / exp.",
    "calibration_intercept": "cal. intercept",
    "calibration_slope": "cal. slope",
}
TABLE_METRICS = ("balanced_accuracy", "sensitivity", "specificity", "auroc", "auprc", "brier", "ece")
CALIBRATION_METRICS = ("calibration_slope", "calibration_intercept", "observed_expected")
