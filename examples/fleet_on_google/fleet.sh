#!/bin/sh
# Makes all pairs of a fleet and says what became of them: fleet.sh [ENV_FILE]. Exit code 0: all are published and verified.
set -eu

set -a # every line of the file becomes a variable of the commands
# shellcheck source=examples/fleet_on_google/team.env
. "$(realpath "${1:-$(dirname "$0")/team.env}")"
set +a

# 1. Is anything missing? Each lack is named, with the command that mends it. Nothing is changed, and nothing runs before.
bqx doctor --only settings --only bigquery --only tables --only output
[ -z "${BQX_ALERT_WEBHOOK:-}${BQX_ALERT_SMTP:-}" ] || bqx alert --test

# 2. Make the pairs, the largest first. A pair that fails holds up no other one; its error and cure stand in the last table.
failed=0
bqx fleet run || failed=1

# 3. What needs attention, what it has cost by measure, and a page that opens without a network.
bqx status
bqx cost --actual --by pair
bqx fleet report --publish
[ "$failed" = 0 ] || { echo "mend what is named above, then: bqx fleet run --failed" >&2; exit 1; }

# 4. Are the published files what they were when they were checked? The bucket is asked for its checksums.
bqx verify --all
