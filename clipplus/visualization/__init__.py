"""What a person looks at after a run: pictures of predictions, a table of results, predictions as JSON lines."""

from clipplus.visualization.gallery import draw_gallery
from clipplus.visualization.pictures_hook import PredictionPicturesHook
from clipplus.visualization.predictions import save_predictions
from clipplus.visualization.result_table import ResultTableHook, format_results
from clipplus.visualization.top5 import draw_top5

__all__ = [
    "PredictionPicturesHook",
    "ResultTableHook",
    "draw_gallery",
    "draw_top5",
    "format_results",
    "save_predictions",
]
