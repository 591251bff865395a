# SPDX-License-Identifier: Apache-2.0
"""The tests may import what stands in tests/common."""

import pathlib
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "common"))
