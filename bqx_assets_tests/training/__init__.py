"""Tests of what people who train models need."""
