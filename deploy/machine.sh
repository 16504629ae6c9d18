#!/usr/bin/env bash
# The startup script of the machine of web server, daemon and code server. Google runs it as root at each boot, and
# `deploy/up.sh machine` after a change: it takes variables and compose.yaml from the machine's metadata, the database's
# address from Secret Manager, and starts containers that do not run or are out of date.
set -euo pipefail
readonly ETC=${BQX_ETC:-/etc/bqx} VAR=${BQX_VAR:-/var/lib/bqx} # its test uses other folders

metadata() { curl -fsS --retry 5 -H 'Metadata-Flavor: Google' "http://metadata.google.internal/computeMetadata/v1/instance/$1"; }
field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
variable() { sed -n "s/^$1=//p" "$ETC/bqx.env"; }

if ! docker compose version >/dev/null 2>&1; then
  apt-get update -q
  DEBIAN_FRONTEND=noninteractive apt-get install -qy docker.io docker-compose-v2
fi

# A container's user is 10001, who must be able to write to the folder of the database proxy's socket.
install -d -m 755 "$VAR"
install -d -m 750 -o 10001 -g 10001 "$VAR/cloudsql"
install -d -m 700 "$ETC"
umask 077
metadata attributes/bqx-env >"$ETC/bqx.env"
metadata attributes/bqx-compose >"$ETC/compose.yaml"

token=$(metadata service-accounts/default/token | field access_token)
content() { # content SECRET: what Secret Manager holds under this name
  # The token is passed by a file descriptor, because every process of the machine can read a command line.
  curl -fsS --retry 5 -H @/dev/fd/3 3<<<"Authorization: Bearer $token" \
    "https://secretmanager.googleapis.com/v1/projects/$(variable BQX_PROJECT)/secrets/$1/versions/latest:access" |
    python3 -c 'import base64, json, sys; print(base64.b64decode(json.load(sys.stdin)["payload"]["data"]).decode())'
}
url=$(content "$(variable BQX_SECRET)")
printf 'DAGSTER_POSTGRES_URL=%s\n' "$url" >"$ETC/secret.env"
if [[ -n $(variable BQX_ALERT_SECRET) ]]; then
  # Alerts must not keep the machine from starting: without the secret, nobody is told, and `bqx alert` says so.
  lines=$(content "$(variable BQX_ALERT_SECRET)") || echo 'machine.sh: the secret of the alerts cannot be read' >&2
  sed -n '/^BQX_ALERT_\(WEBHOOK\|PASSWORD\)=/p' <<<"$lines" >>"$ETC/secret.env"
fi

docker login --username oauth2accesstoken --password-stdin "https://$(variable BQX_REGION)-docker.pkg.dev" <<<"$token"
compose() { docker compose --env-file "$ETC/bqx.env" --file "$ETC/compose.yaml" "$@"; }
compose pull --quiet
# --wait: until all four are healthy, or one has failed; then its last lines tell why.
compose up --detach --remove-orphans --wait --wait-timeout 300 || { compose logs --tail 50 && exit 1; }
docker image prune --force >/dev/null
