#!/usr/bin/env bash
# Deploys bqx to a Google project, and updates it later. Each step creates only what is missing,
# so the script can be run again after a refusal, a change of the variables or a new commit.
#
#   deploy/up.sh --env FILE [--dry-run] [PHASE ...]     the phases below; without one: all from check to doctor
#   deploy/up.sh --env FILE with COMMAND ...            run a command of this machine with the deployment's variables
#   deploy/up.sh --help                                 these lines
#
# --dry-run prints the commands and runs none. Nothing is deleted by this script.
set -euo pipefail
((BASH_VERSINFO[0] >= 5)) || { echo "up.sh: bash $BASH_VERSION is too old. To do: install bash 5 (macOS: brew install bash)." >&2 && exit 1; }

CALLED_FROM=$PWD
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
readonly USUAL=(check apis accounts registry buckets data image database roles jobs store machine doctor)
readonly ON_REQUEST=(pair schedule)
readonly FEATURES=bqx_ml_v3_features_v2 TARGETS=bqx_ml_v3_analytics_v2
readonly DATABASE=dagster DATABASE_USER=dagster
readonly JOBS=(bqx-pair bqx-pair-large)
readonly COMPOSE='docker compose --env-file /etc/bqx/bqx.env --file /etc/bqx/compose.yaml'
readonly CURRENCIES='eur gbp aud nzd usd cad chf jpy' # of a pair, the earlier one comes first
readonly MAY_BE_EMPTY=' BQX_BILLING_PROJECT BQX_LAST BQX_START BQX_END BQX_MAX_BYTES BQX_MONTHLY_BUDGET_USD BQX_WAY BQX_FLEET BQX_FRESH_DAYS BQX_EXPECTATIONS BQX_PERIOD BQX_ENCODING BQX_IMAGE_TAG BQX_NETWORK BQX_SUBNET BQX_MACHINE_ADDRESS BQX_UI_HOSTS BQX_ALERT_SECRET BQX_ALERT_SMTP BQX_ALERT_USER BQX_ALERT_FROM BQX_ALERT_TO BQX_ALERT_ON BQX_UI_URL '
DRY_RUN='' UNCOMMITTED='' VARIABLES='' CALLED=''

say() { printf '%s\n' "$*" >&2; }

stop() { # stop WHAT_HAPPENED WHAT_TO_DO
  say ""
  say "up.sh: $1"
  say "To do: $2"
  say "Then run the same command again${CALLED:+: existing things stay as they are}."
  exit 1
}

quoted() { # the words as a shell would need them
  local word line=
  for word in "$@"; do
    case $word in
      '' | *[!A-Za-z0-9_./:=@%+,-]*) line+=" '${word//\'/\'\\\'\'}'" ;;
      *) line+=" $word" ;;
    esac
  done
  printf '%s' "${line# }"
}

show() { printf '%s\n' "$(quoted "$@")${SUFFIX:-}"; }

run() { # run WHAT_TO_DO_IF_REFUSED COMMAND ...
  local hint=$1
  shift
  show "$@"
  [[ -n $DRY_RUN ]] && return
  CALLED=yes
  "$@" || stop "this command was refused: $(quoted "$@")" "$hint"
}

there() { # there COMMAND ...: whether the thing exists; any other refusal than "not found" stops the script
  [[ -n $DRY_RUN ]] && return 1
  local said
  CALLED=yes
  said=$("$@" 2>&1 >/dev/null) && return 0
  case ${said,,} in
    *permission* | *denied* | *forbidden* | *'not authorized'* | *[!0-9a-z-]403[!0-9a-z-]*) ;; # 403 not as a part of a number or name
    *'not found'* | *not_found* | *'does not exist'* | *'could not fetch resource'*) return 1 ;;
  esac
  say "$said"
  stop "this look-up was refused: $(quoted "$@")" "Read Google's message above: you need a role that may see it, or another name, because the bucket may belong to somebody else."
}

bind() { # bind COMMAND ... : grant a role; a service account made a moment ago is not known everywhere at once
  local said try
  show "$@"
  [[ -n $DRY_RUN ]] && return
  CALLED=yes
  for try in 1 2 3 4 5 6; do
    said=$("$@" 2>&1) && return # bq says its errors on standard output
    case $said in *'does not exist'* | *'INVALID_ARGUMENT'*) ((try < 6)) && sleep "${BQX_UP_WAIT_SECONDS:-10}" ;; *) break ;; esac
  done
  say "$said"
  stop "this grant was refused: $(quoted "$@")" "Ask an owner of the named resource to run this command for you."
}

owner() { # owner COMMAND ...: a grant on the data, or on the project that pays for reading them
  if [[ $BQX_DATA_OWNER == me ]]; then
    bind "$@"
  else
    printf '# for the owner of the data: ' && show "$@"
  fi
}

read_variables() { # read_variables FILE: NAME=value lines; the file is read and never executed
  local line number=0 name value seen=' ' file
  file=$(quoted "$1")
  VARIABLES=$(grep -o '^BQX_[A-Z_]*' deploy/bqx.env)
  [[ -r $1 && ! -d $1 ]] || stop "the variables file $1 cannot be read" "cp deploy/bqx.env ~/bqx.env, fill it in, and name it with --env."
  while IFS= read -r line || [[ -n $line ]]; do
    number=$((number + 1))
    ((number > 1)) || refuse_mark "$line" "$file"
    [[ $line != *$'\r' ]] || stop "$1, line $number: the line ends as on Windows (CRLF)" "sed -i 's/\\r\$//' $file"
    [[ -z $line || $line == '#'* ]] && continue
    [[ $line =~ ^(BQX_[A-Z_]+)=([A-Za-z0-9 _./:@%+,-]*)$ ]] ||
      stop "$1, line $number: not NAME=value of plain characters" "Write no quotes, \$ or comments there, no space around =, and names as in deploy/bqx.env."
    name=${BASH_REMATCH[1]} value=${BASH_REMATCH[2]}
    [[ $value != ' '* && $value != *' ' ]] || stop "$1, line $number: the value of $name begins or ends with a space" "Remove that space."
    [[ $seen != *" $name "* ]] || stop "$1, line $number: $name is set a second time" "Keep one of its lines."
    seen+="$name "
    [[ $'\n'$VARIABLES$'\n' == *$'\n'"$name"$'\n'* ]] || stop "$1, line $number: $name is no variable of a deployment" "Compare it with deploy/bqx.env."
    [[ $value == *change-me* ]] && stop "$1, line $number: $name is still $value" "Write your own value there."
    printf -v "$name" '%s' "$value"
    export "${name?}"
  done <"$1"
  for name in $VARIABLES; do
    [[ -v $name ]] || stop "$1: $name is missing" "Copy its line from deploy/bqx.env; the value may be empty if that file says so."
  done
}

refuse_mark() { # refuse_mark FIRST_LINE FILE: Windows editors put one in front of the text
  case $1 in
    $'\xef\xbb\xbf'*) stop "$2, line 1: the file begins with a byte-order mark (UTF-8)" "sed -i '1s/^\xef\xbb\xbf//' $2" ;;
    $'\xff\xfe'* | $'\xfe\xff'*) stop "$2, line 1: the file begins with a byte-order mark (UTF-16)" "Save it as UTF-8: iconv -f UTF-16 -t UTF-8 $2 >bqx-utf8.env" ;;
  esac
}

refuse_forms() { # checks values that runs read later, by the rules of bqx itself (base/settings.py, base/pairs.py)
  local number='([0-9]{1,15}|[0-9]{1,3}(,[0-9]{3}){1,4}|[0-9]{1,3}(_[0-9]{3}){1,4})' count most
  if [[ -n $BQX_LAST ]]; then
    count=0 most=0
    [[ ${BQX_LAST,,} =~ ^${number}' '*(rows?|d|days?)$ ]] && count=$((10#${BASH_REMATCH[1]//[,_]/}))
    case ${BQX_LAST,,} in *row*) most=1000000000000 ;; *) most=36500 ;; esac
    ((count >= 1 && count <= most)) || stop "BQX_LAST is $BQX_LAST" "Write rows or days, at most 36500 days: 100000 rows, or 395d. Leave it empty for the whole history."
  fi
  [[ $BQX_MAX_BYTES =~ ^[0-9]{0,18}$ ]] || stop "BQX_MAX_BYTES is $BQX_MAX_BYTES" "Write the bytes in digits alone, for example 50000000000; 0 means no limit."
  [[ $BQX_MONTHLY_BUDGET_USD =~ ^([0-9]{1,9}(\.[0-9]{1,4})?)?$ ]] || stop "BQX_MONTHLY_BUDGET_USD is $BQX_MONTHLY_BUDGET_USD" "Write USD in digits alone, for example 25 or 12.50; leave it empty for no budget."
  [[ $BQX_WAY =~ ^(read|query)?$ ]] || stop "BQX_WAY is $BQX_WAY" "Write read or query; leave it empty for read."
  [[ $BQX_FLEET =~ ^([a-z]{6}([,[:space:]]+[a-z]{6})*)?$ ]] || stop "BQX_FLEET is $BQX_FLEET" "Write names of pairs, for example eurusd,gbpusd; leave it empty for all 28."
  [[ $BQX_FRESH_DAYS =~ ^([0-9]{1,4}(\.[0-9]{1,3})?)?$ ]] || stop "BQX_FRESH_DAYS is $BQX_FRESH_DAYS" "Write days in digits alone, for example 8; leave it empty for 8."
  case $BQX_PERIOD in
    '' | month | quarter | half-year | year | none) ;;
    *) stop "BQX_PERIOD is $BQX_PERIOD" "Write month, quarter, half-year, year or none, or leave it empty." ;;
  esac
  case $BQX_ENCODING in
    '' | balanced | small | fast | compatible) ;;
    *) stop "BQX_ENCODING is $BQX_ENCODING" "Write balanced, small, fast or compatible, or leave it empty." ;;
  esac
  [[ $BQX_FIRST_PAIR =~ ^[a-z]{6}$ && $CURRENCIES == *"${BQX_FIRST_PAIR:0:3}"*"${BQX_FIRST_PAIR:3}"* ]] ||
    stop "BQX_FIRST_PAIR is $BQX_FIRST_PAIR, which is none of the 28 pairs" "Write two of these currencies in their order, in lower case: $CURRENCIES; for example eurusd."
}

derive() {
  local name
  for name in $VARIABLES; do
    [[ -n ${!name} || $MAY_BE_EMPTY == *" $name "* ]] || stop "$name is empty" "Write a value: deploy/bqx.env says what it is."
  done
  [[ $BQX_REGION =~ ^[a-z]+-[a-z]+[0-9]+$ ]] || stop "BQX_REGION is $BQX_REGION, which is no region" "Write one region, for example us-central1; for data in the multi-region EU one inside it, for example europe-west1."
  [[ $BQX_ZONE == "$BQX_REGION"-? ]] || stop "BQX_ZONE is $BQX_ZONE, which is no zone of $BQX_REGION" "Write a zone of that region: gcloud compute zones list shows them."
  [[ $BQX_LOG_BUCKET =~ ^[a-z0-9][a-z0-9._-]+$ ]] || stop "BQX_LOG_BUCKET is $BQX_LOG_BUCKET" "Write the name of a bucket, without gs:// and without a folder."
  [[ $BQX_OUTPUT == gs://* ]] || stop "BQX_OUTPUT is $BQX_OUTPUT" "Write gs://bucket or gs://bucket/prefix."
  [[ -z $BQX_LAST || -z $BQX_START$BQX_END ]] || stop "BQX_LAST is set together with BQX_START or BQX_END" "Leave BQX_LAST empty, or both bounds."
  [[ $BQX_DATA_OWNER == me || $BQX_DATA_OWNER == another ]] || stop "BQX_DATA_OWNER is $BQX_DATA_OWNER" "Write me or another."
  [[ $BQX_BUILD == cloud || $BQX_BUILD == docker ]] || stop "BQX_BUILD is $BQX_BUILD" "Write cloud or docker."
  [[ $BQX_MACHINE_ADDRESS =~ ^(yes|no)?$ ]] || stop "BQX_MACHINE_ADDRESS is $BQX_MACHINE_ADDRESS" "Write yes or no; empty means yes."
  refuse_forms
  PAYER=${BQX_BILLING_PROJECT:-$BQX_BIGQUERY_PROJECT}
  OUTPUT_BUCKET=${BQX_OUTPUT#gs://} OUTPUT_BUCKET=gs://${OUTPUT_BUCKET%%/*}
  RUN_ACCOUNT=$BQX_RUN_ACCOUNT@$BQX_PROJECT.iam.gserviceaccount.com
  DAGSTER_ACCOUNT=$BQX_DAGSTER_ACCOUNT@$BQX_PROJECT.iam.gserviceaccount.com
  BUILD_ACCOUNT=$BQX_BUILD_ACCOUNT@$BQX_PROJECT.iam.gserviceaccount.com
  BQX_SQL_CONNECTION=$BQX_PROJECT:$BQX_REGION:$BQX_SQL_INSTANCE
  IN=(--project="$BQX_PROJECT")
  AT=("${IN[@]}" --region="$BQX_REGION")
  if [[ -z $BQX_IMAGE_TAG ]]; then
    BQX_IMAGE_TAG=$(git rev-parse --short=12 HEAD) || stop "this is no git checkout" "Set BQX_IMAGE_TAG."
    [[ -z $(git status --porcelain) ]] || UNCOMMITTED=yes
  fi
  BQX_IMAGE=$BQX_REGION-docker.pkg.dev/$BQX_PROJECT/$BQX_REPOSITORY/bqx:$BQX_IMAGE_TAG
  export BQX_IMAGE BQX_SQL_CONNECTION
}

rendered() { # rendered FILE: each ${NAME} of it replaced
  local text name
  text=$(<"deploy/$1")
  # shellcheck disable=SC2016 # the names are looked for, not expanded
  for name in $(grep -o '\${BQX_[A-Z_]*}' "deploy/$1" | tr -d '${}' | sort -u); do
    text=${text//"\${$name}"/${!name}}
  done
  printf '%s\n' "$text"
}

# shellcheck source=phases.sh
. deploy/phases.sh

main() {
  local file='' phase
  while [[ ${1:-} == --* ]]; do
    case $1 in
      --env) file=${2:-} && shift $(($# > 1 ? 2 : 1)) ;;
      --dry-run) DRY_RUN=yes && shift ;;
      --help) sed -n '/^#   deploy/,/^# --dry-run/s/^# \{0,1\}//p' deploy/up.sh && exit ;;
      *) stop "unknown option $1" "There are --env FILE, --dry-run and --help." ;;
    esac
  done
  [[ -n $file ]] || stop "no variables file" "cp deploy/bqx.env ~/bqx.env, fill it in, and call: deploy/up.sh --env ~/bqx.env"
  [[ $file == /* ]] || file=$CALLED_FROM/$file
  read_variables "$file"
  derive
  if [[ ${1:-} == with ]]; then
    shift
    (($#)) || stop "\`with\` needs a command" "For example: deploy/up.sh --env FILE with .venv/bin/bqx status"
    cd "$CALLED_FROM"
    exec "$@"
  fi
  for phase in "$@"; do
    [[ $phase != -* ]] || stop "the option $phase follows a phase" "Options come first: deploy/up.sh --env FILE --dry-run PHASE ..."
    [[ " ${USUAL[*]} ${ON_REQUEST[*]} " == *" $phase "* ]] || stop "no phase $phase" "There are: ${USUAL[*]}; on request: ${ON_REQUEST[*]}."
  done
  (($#)) || set -- "${USUAL[@]}"
  for phase in "$@"; do
    printf '\n# %s\n' "$phase"
    "phase_$phase"
  done
}

main "$@"
