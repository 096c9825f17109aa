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
}
SHORT_TITLES = TITLES | {
    "balanced_accuracy": "bal. acc.",
    "sensitivity": "sens.",
    "specificity": "spec.",
    "brier": "Brier",
}
TABLE_METRICS = ("balanced_accuracy", "sensitivity", "specificity", "auroc", "auprc", "brier", "ece")
