# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # set and read by up.sh
# shellcheck disable=SC2016 # what SUFFIX says is shown, not expanded
# The steps of up.sh, in their order. Each prints what it runs; `run`, `there`, `bind` and `stop` are in up.sh.

phase_check() {
  local tool
  [[ -n $DRY_RUN ]] && return
  for tool in gcloud bq git $([[ $BQX_BUILD != docker ]] || echo docker); do
    command -v "$tool" >/dev/null || stop "$tool is not installed" "Install the Google Cloud CLI, https://cloud.google.com/sdk/docs/install, and git."
  done
  [[ -n $(gcloud auth list --filter=status:ACTIVE --format='value(account)') ]] || stop "nobody is logged in" "gcloud auth login"
  there gcloud projects describe "$BQX_PROJECT" || stop "there is no project $BQX_PROJECT" "gcloud projects create $BQX_PROJECT, or correct BQX_PROJECT."
  [[ $(gcloud billing projects describe "$BQX_PROJECT" --format='value(billingEnabled)') != False ]] ||
    stop "project $BQX_PROJECT has no billing" "gcloud billing projects link $BQX_PROJECT --billing-account=ACCOUNT (gcloud billing accounts list shows yours)."
}

phase_apis() {
  run "Ask for roles/serviceusage.serviceUsageAdmin on $BQX_PROJECT." \
    gcloud services enable artifactregistry.googleapis.com cloudbuild.googleapis.com compute.googleapis.com \
    iam.googleapis.com iap.googleapis.com logging.googleapis.com run.googleapis.com secretmanager.googleapis.com \
    sqladmin.googleapis.com storage.googleapis.com "${IN[@]}"
  owner gcloud services enable bigquery.googleapis.com bigquerystorage.googleapis.com --project="$PAYER"
}

phase_accounts() {
  account "$BQX_RUN_ACCOUNT" "the container of a run"
  account "$BQX_DAGSTER_ACCOUNT" "web server, daemon and code server"
  account "$BQX_BUILD_ACCOUNT" "builds and pushes the image"
}

account() { # account NAME WHAT_FOR
  there gcloud iam service-accounts describe "$1@$BQX_PROJECT.iam.gserviceaccount.com" "${IN[@]}" ||
    run "Ask for roles/iam.serviceAccountCreator on $BQX_PROJECT." \
      gcloud iam service-accounts create "$1" --display-name="bqx: $2" "${IN[@]}"
}

phase_registry() {
  there gcloud artifacts repositories describe "$BQX_REPOSITORY" --location="$BQX_REGION" "${IN[@]}" ||
    run "Ask for roles/artifactregistry.admin on $BQX_PROJECT." \
      gcloud artifacts repositories create "$BQX_REPOSITORY" --repository-format=docker --location="$BQX_REGION" "${IN[@]}"
}

phase_buckets() {
  bucket "$OUTPUT_BUCKET"
  # Step logs and the sources of builds stay for 90 days. An existing bucket keeps its rules.
  bucket "gs://$BQX_LOG_BUCKET" --lifecycle-file=deploy/log-bucket-lifecycle.json
}

bucket() { # bucket gs://NAME FLAGS
  there gcloud storage buckets describe "$1" ||
    run "The name may be taken by somebody else: choose another one. Otherwise ask for roles/storage.admin on $BQX_PROJECT." \
      gcloud storage buckets create "$1" "${IN[@]}" --location="$BQX_REGION" \
      --uniform-bucket-level-access --public-access-prevention "${@:2}"
}

phase_data() {
  local dataset location
  for dataset in "$FEATURES" "$TARGETS"; do
    read_location "$dataset"
    grant_on_dataset roles/bigquery.dataViewer "$dataset" "$RUN_ACCOUNT" "$location"
    grant_on_dataset roles/bigquery.metadataViewer "$dataset" "$DAGSTER_ACCOUNT" "$location"
  done
}

read_location() { # read_location DATASET: sets `location`; BigQuery does a grant only where the dataset lies
  local asked=(bq --format=prettyjson show "$BQX_BIGQUERY_PROJECT:$1") said
  location=LOCATION
  [[ -n $DRY_RUN ]] && return
  CALLED=yes
  # bq prints its errors to standard output. A label may be named location too: that one stands further to the right.
  said=$("${asked[@]}" 2>&1) && location=$(sed -n 's/^  "location": "\(.*\)",\{0,1\}$/\1/p' <<<"$said") && [[ -n $location ]] && return
  if [[ $BQX_DATA_OWNER == me ]]; then
    say "$said"
    stop "this look-up was refused: $(quoted "${asked[@]}")" "Correct BQX_BIGQUERY_PROJECT, or ask for roles/bigquery.dataOwner on the dataset; set BQX_DATA_OWNER=another if another person grants roles."
  fi
  location=LOCATION
  printf '# LOCATION below is what the line "location" of this says: ' && show "${asked[@]}"
}

grant_on_dataset() { # grant_on_dataset ROLE DATASET ACCOUNT LOCATION: SQL, because `bq add-iam-policy-binding` takes tables only
  owner bq --project_id="$BQX_BIGQUERY_PROJECT" --location="$4" query --use_legacy_sql=false \
    "GRANT \`$1\` ON SCHEMA \`$BQX_BIGQUERY_PROJECT\`.$2 TO 'serviceAccount:$3'"
}

phase_image() {
  [[ -z $UNCOMMITTED || -n $DRY_RUN ]] ||
    stop "this checkout has uncommitted changes, so its commit does not name the image" "Commit them, or set BQX_IMAGE_TAG."
  on_repository roles/artifactregistry.writer "$BUILD_ACCOUNT"
  on_repository roles/artifactregistry.reader "$DAGSTER_ACCOUNT"
  on_project "$BQX_PROJECT" roles/logging.logWriter "$BUILD_ACCOUNT"
  on_bucket "gs://$BQX_LOG_BUCKET" roles/storage.objectViewer "$BUILD_ACCOUNT"
  if there gcloud artifacts docker images describe "$BQX_IMAGE" "${IN[@]}"; then
    return
  elif [[ $BQX_BUILD == docker ]]; then
    run "See the message above." gcloud auth configure-docker "$BQX_REGION-docker.pkg.dev" --quiet
    run "Start Docker, or set BQX_BUILD=cloud." docker build --platform=linux/amd64 --tag "$BQX_IMAGE" .
    run "Ask for roles/artifactregistry.writer on the repository." docker push "$BQX_IMAGE"
  else
    run "gcloud builds list ${AT[*]} shows the builds. If Cloud Build may not run in $BQX_REGION, as in some new projects, set BQX_BUILD=docker. You need roles/cloudbuild.builds.editor, and roles/iam.serviceAccountUser on $BUILD_ACCOUNT." \
      gcloud builds submit . --config=deploy/cloudbuild.yaml --region="$BQX_REGION" "${IN[@]}" \
      --gcs-source-staging-dir="gs://$BQX_LOG_BUCKET/build-sources" \
      --service-account="projects/$BQX_PROJECT/serviceAccounts/$BUILD_ACCOUNT" --substitutions="_IMAGE=$BQX_IMAGE"
  fi
}

phase_database() {
  local instance=(--instance="$BQX_SQL_INSTANCE" "${IN[@]}") user=create secret=create found
  # PostgreSQL 16 gets the costly edition by default; db-g1-small belongs to the plain one. It takes about ten minutes.
  there gcloud sql instances describe "$BQX_SQL_INSTANCE" "${IN[@]}" ||
    run "Ask for roles/cloudsql.admin on $BQX_PROJECT. A name that was in use within the last week cannot be taken again." \
      gcloud sql instances create "$BQX_SQL_INSTANCE" "${AT[@]}" --database-version=POSTGRES_16 --edition=enterprise \
      --tier="$BQX_SQL_TIER" --storage-size=10 --storage-auto-increase --backup-start-time=02:00 --deletion-protection
  there gcloud sql databases describe "$DATABASE" "${instance[@]}" ||
    run "Ask for roles/cloudsql.admin on $BQX_PROJECT." gcloud sql databases create "$DATABASE" "${instance[@]}"
  if [[ -z $DRY_RUN ]]; then
    found=$(gcloud sql users list "${instance[@]}" --filter="name=$DATABASE_USER" --format='value(name)') ||
      stop "the users of $BQX_SQL_INSTANCE cannot be listed" "Ask for roles/cloudsql.viewer on $BQX_PROJECT."
    [[ -z $found ]] || user=set-password
  fi
  there gcloud secrets describe "$BQX_SECRET" "${IN[@]}" && secret=
  # An interrupted run of this script leaves a secret without a version, or a user whose password is lost.
  [[ -z $secret && $user == set-password ]] && there gcloud secrets versions describe latest --secret="$BQX_SECRET" "${IN[@]}" && return
  [[ -z $secret ]] || run "Ask for roles/secretmanager.admin on $BQX_PROJECT." \
    gcloud secrets create "$BQX_SECRET" --replication-policy=automatic "${IN[@]}"
  new_password "$user" "${instance[@]}"
}

new_password() { # new_password create|set-password FLAGS: for the database user, kept in the secret and shown nowhere
  local password url
  password=$(head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n')
  url="postgresql+psycopg2://$DATABASE_USER:$password@/$DATABASE?host=/cloudsql/$BQX_SQL_CONNECTION"
  # Neither appears on a command line, where every process of this machine could read it.
  SUFFIX=' 3<<<"--password: $PASSWORD"' run "Ask for roles/cloudsql.admin on $BQX_PROJECT." \
    gcloud sql users "$1" "$DATABASE_USER" "${@:2}" --flags-file=/dev/fd/3 3<<<"--password: $password"
  SUFFIX=' <<<"$DAGSTER_POSTGRES_URL"' run "Ask for roles/secretmanager.admin on $BQX_PROJECT." \
    gcloud secrets versions add "$BQX_SECRET" --data-file=/dev/stdin "${IN[@]}" < <(printf '%s' "$url")
}

# The permissions of each account; docs/permissions.md compares these grants with the calls that are made.
phase_roles() {
  local account
  on_payer roles/bigquery.jobUser "$RUN_ACCOUNT"
  on_payer roles/bigquery.readSessionUser "$RUN_ACCOUNT"
  on_bucket "$OUTPUT_BUCKET" roles/storage.objectUser "$RUN_ACCOUNT"
  on_bucket "$OUTPUT_BUCKET" roles/storage.legacyBucketReader "$RUN_ACCOUNT"
  on_bucket "$OUTPUT_BUCKET" roles/storage.objectViewer "$DAGSTER_ACCOUNT"
  for account in "$RUN_ACCOUNT" "$DAGSTER_ACCOUNT"; do
    on_bucket "gs://$BQX_LOG_BUCKET" roles/storage.objectUser "$account"
    on_bucket "gs://$BQX_LOG_BUCKET" roles/storage.legacyBucketReader "$account"
    on_project "$BQX_PROJECT" roles/cloudsql.client "$account"
    bind gcloud secrets add-iam-policy-binding "$BQX_SECRET" "${IN[@]}" --member="serviceAccount:$account" \
      --role=roles/secretmanager.secretAccessor
    other_bucket "$account"
  done
  [[ -z $BQX_ALERT_SECRET ]] || bind gcloud secrets add-iam-policy-binding "$BQX_ALERT_SECRET" "${IN[@]}" \
    --member="serviceAccount:$DAGSTER_ACCOUNT" --role=roles/secretmanager.secretAccessor
  # Reported as needed to start a job with overrides, but not documented. Alone it allows no deployment.
  bind gcloud iam service-accounts add-iam-policy-binding "$RUN_ACCOUNT" "${IN[@]}" \
    --member="serviceAccount:$DAGSTER_ACCOUNT" --role=roles/iam.serviceAccountUser
}

phase_jobs() {
  local file name
  for file in job.yaml job-large.yaml doctor.yaml; do
    SUFFIX=" <deploy/$file # with its \${NAMES} replaced" run \
      "Ask for roles/run.developer on $BQX_PROJECT and roles/iam.serviceAccountUser on $RUN_ACCOUNT." \
      gcloud run jobs replace - "${AT[@]}" < <(rendered "$file")
  done
  for name in "${JOBS[@]}"; do
    on_job "$name" roles/run.jobsExecutorWithOverrides
    on_job "$name" roles/run.viewer
  done
}

on_project() { # on_project PROJECT ROLE ACCOUNT
  bind gcloud projects add-iam-policy-binding "$1" --member="serviceAccount:$3" --role="$2" --condition=None
}

on_payer() { # on_payer ROLE ACCOUNT
  owner gcloud projects add-iam-policy-binding "$PAYER" --member="serviceAccount:$2" --role="$1" --condition=None
}

on_bucket() { # on_bucket gs://NAME ROLE ACCOUNT
  bind gcloud storage buckets add-iam-policy-binding "$1" --member="serviceAccount:$3" --role="$2"
}

on_repository() { # on_repository ROLE ACCOUNT
  bind gcloud artifacts repositories add-iam-policy-binding "$BQX_REPOSITORY" --location="$BQX_REGION" "${IN[@]}" \
    --member="serviceAccount:$2" --role="$1"
}

on_job() { # on_job NAME ROLE
  bind gcloud run jobs add-iam-policy-binding "$1" "${AT[@]}" --member="serviceAccount:$DAGSTER_ACCOUNT" --role="$2"
}

other_bucket() { # other_bucket ACCOUNT: expectations that lie in a bucket of their own
  local bucket=${BQX_EXPECTATIONS#gs://}
  bucket=gs://${bucket%%/*}
  [[ $BQX_EXPECTATIONS != gs://* || $bucket == "$OUTPUT_BUCKET" ]] || on_bucket "$bucket" roles/storage.objectViewer "$1"
}

# Lifecycle and versioning of the output bucket, set and read back by bqx itself, as the person who runs this script.
phase_store() {
  local bqx
  bqx=$(command -v bqx || echo .venv/bin/bqx)
  [[ -n $DRY_RUN ]] && bqx=bqx
  [[ -n $DRY_RUN || -x $bqx ]] || stop "bqx is not installed in this checkout" "make setup"
  [[ -n $DRY_RUN ]] || gcloud auth application-default print-access-token >/dev/null 2>&1 ||
    stop "there are no application default credentials" "gcloud auth application-default login"
  run "Its message above says what is missing; roles/storage.admin on the bucket is enough." "$bqx" store init
}

phase_machine() {
  local machine=("$BQX_MACHINE" "${IN[@]}" --zone="$BQX_ZONE") files place=()
  [[ -z $BQX_NETWORK ]] || place+=(--network="$BQX_NETWORK")
  [[ -z $BQX_SUBNET ]] || place+=(--subnet="$BQX_SUBNET")
  [[ $BQX_MACHINE_ADDRESS != no ]] || place+=(--no-address)
  tunnel_rule "${BQX_NETWORK:-default}"
  files=--metadata-from-file=startup-script=deploy/machine.sh,bqx-compose=deploy/compose.yaml,bqx-env=/dev/fd/3
  if there gcloud compute instances describe "${machine[@]}"; then
    SUFFIX=' 3<<<"$VARIABLES"' run "Ask for roles/compute.instanceAdmin.v1." \
      gcloud compute instances add-metadata "${machine[@]}" "$files" 3< <(machine_variables)
    on_machine "sudo google_metadata_script_runner startup"
  else
    SUFFIX=' 3<<<"$VARIABLES"' run "Ask for roles/compute.instanceAdmin.v1 and roles/iam.serviceAccountUser on $DAGSTER_ACCOUNT." \
      gcloud compute instances create "${machine[@]}" --machine-type="$BQX_MACHINE_TYPE" --image-family=ubuntu-2404-lts-amd64 \
      --image-project=ubuntu-os-cloud --boot-disk-size=20GB --shielded-secure-boot --service-account="$DAGSTER_ACCOUNT" \
      --scopes=cloud-platform "${place[@]}" "$files" 3< <(machine_variables)
  fi
}

tunnel_rule() { # tunnel_rule NETWORK: Google's tunnel reaches its machines, from its own addresses and by ssh only
  local network=${1##*/} project=$BQX_PROJECT rule
  [[ $1 != projects/*/global/networks/* ]] || { project=${1#projects/} && project=${project%%/*}; } # a shared network
  rule=bqx-tunnel-$network
  there gcloud compute firewall-rules describe "${rule:0:63}" --project="$project" ||
    run "Ask for roles/compute.securityAdmin on $project. If there is no network $network, name another one in BQX_NETWORK, or create it: gcloud compute networks create $network --subnet-mode=auto --project=$project" \
      gcloud compute firewall-rules create "${rule:0:63}" --project="$project" --network="$network" --allow=tcp:22 \
      --source-ranges=35.235.240.0/20
}

machine_variables() { # those of the file, and the two that compose.yaml needs besides
  local name
  for name in $VARIABLES BQX_IMAGE BQX_SQL_CONNECTION; do printf '%s=%s\n' "$name" "${!name}"; done
}

on_machine() { # on_machine COMMAND: through Google's tunnel; the machine needs no open port
  run "${HINT:-Ask for roles/iap.tunnelResourceAccessor and roles/compute.osAdminLogin; a new machine needs three minutes.}" \
    gcloud compute ssh "$BQX_MACHINE" "${IN[@]}" --zone="$BQX_ZONE" --tunnel-through-iap --command="$1"
}

# Checks everything with the account and in the container that a run will have; then Postgres, the jobs and the right
# to start them, with the machine's account, which launches runs. Nothing is changed.
phase_doctor() {
  local look="gcloud logging read 'resource.labels.job_name=bqx-doctor' ${IN[*]} --limit=1000 --freshness=1h --order=asc --format='value(textPayload)'"
  run "What is missing, with the command that grants it, is in its log: $look" \
    gcloud run jobs execute bqx-doctor --wait "${AT[@]}"
  # A new machine installs Docker and pulls the image first: the script continues when the code server answers.
  on_machine "timeout 600 sh -c 'until sudo $COMPOSE exec -T code true; do sleep 10; done' >/dev/null 2>&1"
  HINT="If there are messages of bqx doctor above, follow them; otherwise see on the machine: sudo journalctl -u google-startup-scripts" \
    in_code_server 'bqx doctor --only dagster --only "cloud run"'
}

in_code_server() { # in_code_server COMMAND
  on_machine "sudo $COMPOSE exec -T code $1"
}

phase_pair() {
  in_code_server "dagster job backfill --workspace workspace.yaml --job pair_job --partitions $BQX_FIRST_PAIR --noprompt"
}

phase_schedule() {
  in_code_server "dagster schedule start --workspace workspace.yaml weekly"
  in_code_server "dagster schedule start --workspace workspace.yaml verify_weekly"
}
