"""Types of numbers: 16-bit floats as inputs, weights and outputs, and every integer, against PyTorch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.native import through_runtime
