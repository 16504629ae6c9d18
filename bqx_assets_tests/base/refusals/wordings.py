"""Wordings of the services, one line each, with the reasons that they have to be read as.

They are taken from public reports; some have documented reasons beside those on the wire.
"""

from __future__ import annotations

from google.auth import exceptions as auth
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, Help, PreconditionFailure, QuotaFailure, RetryInfo

from bqx_assets.base.refusals.table import Service
from bqx_assets_tests.base.refusals.answers import detail, grpc, info, job, media, rest

Wording = tuple[Service, Exception, str]
PLUGIN = "Getting metadata from plugin failed with error: "
_OFF = "BigQuery API has not been used in project 1234 before or it is disabled. Enable it by visiting https://x then retry"
_VPC = "Request is prohibited by organization's policy. vpcServiceControlsUniqueIdentifier: Ab_1-x"
_RETENTION = (
    "Object 'B/O' is subject to bucket's retention policy or object retention and cannot be deleted or overwritten "
    "until 2026-12-01T00:00:00Z"
)
_HOLD = (
    "Object 'B/O' is under active Temporary hold and cannot be deleted, overwritten or archived until hold is removed."
)
_EVENT = (
    "Object 'B/O' is under active Event-Based hold and cannot be deleted, overwritten or archived until it is removed."
)
_CLOCK = (
    "invalid_grant: Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check "
    "your iat and exp values in the JWT claim."
)
_IMPERSONATED = (
    '{"error": {"code": 403, "message": "Permission \'iam.serviceAccounts.getAccessToken\' denied on resource (or it '
    'may not exist).", "status": "PERMISSION_DENIED", "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo",'
    ' "reason": "IAM_PERMISSION_DENIED", "domain": "iam.googleapis.com", "metadata": {"permission": '
    '"iam.serviceAccounts.getAccessToken"}}]}}'
)
_METADATA = (
    "Failed to retrieve http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/"
    "?recursive=true from the Google Compute Engine metadata service. Compute Engine Metadata server unavailable. "
    "Last exception: HTTPConnectionPool(host='metadata.google.internal', port=80): Max retries exceeded"
)

COMMON: list[Wording] = [
    ("bigquery", rest(403, _OFF, "accessNotConfigured", info("SERVICE_DISABLED", service="bigquery.googleapis.com")), "api_off"),
    ("bigquery", rest(403, _OFF, "accessNotConfigured"), "api_off"),
    ("storage_read", grpc("PERMISSION_DENIED", "off", ErrorInfo(reason="SERVICE_DISABLED", domain="googleapis.com")), "api_off"),
    ("cloud_run", grpc("PERMISSION_DENIED", _OFF.replace("BigQuery", "Cloud Run Admin"), Help()), "api_off"),
    ("bigquery", rest(400, "The project bqx-ml has not enabled BigQuery.", "invalid"), "api_off"),
    ("bigquery", rest(403, "This API method requires billing to be enabled. Please enable billing on project #12", "", info("BILLING_DISABLED")), "billing_off"),
    ("bigquery", rest(403, "Project bqx-ml (#12) has billing disabled. Please enable it.", "forbidden"), "billing_off"),
    ("bigquery", rest(403, "x", "billingNotEnabled"), "billing_off"),
    ("cloud_storage", media(403, "The billing account for the owning project is disabled in state absent", "accountDisabled"), "billing_off"),
    ("cloud_storage", media(403, "The project to be billed is associated with an absent billing account.", "forbidden"), "billing_off"),
    ("cloud_run", rest(400, "Billing account for project '12' is not found. Billing must be enabled for activation", "", info("UREQ_PROJECT_BILLING_NOT_FOUND", "serviceusage.googleapis.com/billing-enabled")), "billing_off"),
    ("cloud_storage", rest(403, "Caller does not have required permission to use project other-p. Grant the caller the roles/serviceusage.serviceUsageConsumer role", "forbidden", info("USER_PROJECT_DENIED")), "quota_project"),
    ("cloud_storage", rest(403, "x", "UserProjectAccessDenied"), "quota_project"),
    ("bigquery", rest(429, "Quota exceeded for quota metric 'M' and limit 'L' of service 'S' for consumer 'project_number:12'", "", info("RATE_LIMIT_EXCEEDED", quota_limit="L")), "rate_limit"),
    ("cloud_run", grpc("RESOURCE_EXHAUSTED", "Quota exceeded for quota metric 'Read requests' and limit 'Read requests per minute per region' of service 'run.googleapis.com' for consumer 'project_number:12'."), "rate_limit"),
    ("cloud_run", grpc("RESOURCE_EXHAUSTED", "x", QuotaFailure(violations=[{"subject": "project:12", "description": "Quota 'x' exhausted"}]), RetryInfo(retry_delay=Duration(seconds=3))), "rate_limit"),
    ("bigquery", rest(429, "x", "", info("RESOURCE_QUOTA_EXCEEDED")), "quota"),
    ("bigquery", rest(403, "x", "", info("CONSUMER_INVALID", consumer="projects/12")), "project_missing"),
    ("bigquery", rest(404, "Not found: Project bqx-mll", "notFound"), "project_missing"),
    ("bigquery", rest(403, "x", "", info("CONSUMER_SUSPENDED")), "project_suspended"),
    ("bigquery", rest(403, f"VPC Service Controls: {_VPC}", "vpcServiceControls", info("SECURITY_POLICY_VIOLATED", uid="Ab_1-x")), "vpc_service_controls"),
    ("bigquery", rest(403, _VPC, "forbidden", detail("PreconditionFailure", violations=[{"type": "VPC_SERVICE_CONTROLS", "description": "Ab_1-x"}])), "vpc_service_controls"),
    ("storage_read", grpc("PERMISSION_DENIED", _VPC), "vpc_service_controls"),
    ("storage_read", grpc("PERMISSION_DENIED", "denied", PreconditionFailure(violations=[{"type": "VPC_SERVICE_CONTROLS", "description": "Ab_1-x"}])), "vpc_service_controls"),
    ("cloud_storage", media(403, _VPC), "vpc_service_controls"),
    ("bigquery", rest(401, "Request had invalid authentication credentials.", "authError", info("ACCESS_TOKEN_EXPIRED")), "credentials_refused"),
    ("storage_read", grpc("UNAUTHENTICATED", "Request had invalid authentication credentials. Expected OAuth 2 access token"), "credentials_refused"),
    ("cloud_storage", media(401, "Invalid Credentials", "authError"), "credentials_refused"),
    ("bigquery", rest(403, "Request had insufficient authentication scopes.", "insufficientPermissions", info("ACCESS_TOKEN_SCOPE_INSUFFICIENT")), "scopes"),
    ("storage_read", grpc("PERMISSION_DENIED", "Request had insufficient authentication scopes."), "scopes"),
    ("bigquery", rest(403, "x", "", info("LOCATION_TAX_POLICY_VIOLATED", location="x")), "location_tax"),
    ("cloud_run", rest(400, "Constraint constraints/gcp.resourceLocations violated", "", info("LOCATION_POLICY_VIOLATED")), "org_policy"),
]  # fmt: skip

BIGQUERY: list[Wording] = [
    ("bigquery", rest(403, "Access Denied: Table p-1:d.INFORMATION_SCHEMA.COLUMNS: User does not have permission to query table p-1:d.INFORMATION_SCHEMA.COLUMNS, or perhaps it does not exist in location US.", "accessDenied"), "permission"),
    ("bigquery", rest(403, "Permission bigquery.tables.getData denied on table p-1:d.__TABLES__ (or it may not exist).", "accessDenied"), "permission"),
    ("bigquery", rest(403, "Access Denied: BigQuery BigQuery: Permission denied while getting Drive credentials.", "accessDenied"), "source_database"),
    ("bigquery", rest(400, "Query exceeded limit for bytes billed: 1000. 5000 or higher required.", "bytesBilledLimitExceeded"), "query_cap"),
    ("bigquery", rest(404, "Not found: Table p-1:d.HNS", "notFound"), "table_missing"),
    ("storage_read", grpc("PERMISSION_DENIED", 'request failed: Access Denied: BigQuery BigQuery: User has neither fine-grained reader nor masked get permission to get data protected by policy tag "tax : tag" on column p.d.t.c.'), "policy_tag"),
    ("storage_read", grpc("INVALID_ARGUMENT", "request failed: The following selected fields do not exist in the table schema: abc"), "schema_changed"),
    ("storage_read", grpc("INVALID_ARGUMENT", "request failed: cannot read an external table with the storage API"), "not_a_table"),
    ("bigquery", rest(403, "Access Denied: Table P:D.T: User does not have permission to query table P:D.T, or perhaps it does not exist in location US.", "accessDenied"), "permission"),
    ("bigquery", rest(403, "Access denied: User does not have permission to access policy tag projects/p/locations/us/taxonomies/1/policyTags/2 on column p.d.t.secret.", "accessDenied"), "policy_tag"),
    ("bigquery", rest(403, "Requires fineGrainedGet permission on the read columns", "accessDenied"), "policy_tag"),
    ("bigquery", rest(403, "User does not have full access for table p:d.t due to row access policies.", "accessDenied"), "row_policies"),
    ("bigquery", rest(403, "Access Denied: BigQuery: Time travel on table t is forbidden as it has (or has had) row access policies.", "accessDenied"), "row_policy_time_travel"),
    ("storage_read", grpc("PERMISSION_DENIED", "request failed: Access Denied: BigQuery: Time travel on table t is forbidden as it has (or has had) row access policies."), "row_policy_time_travel"),
    ("bigquery", rest(400, "Invalid snapshot time 1700000000000 for table p:d.t@1700000000000. Cannot read before 1700000001000", "invalid"), "snapshot"),
    ("bigquery", rest(400, "Invalid time travel timestamp 1 for table p:d.t", "invalidQuery"), "snapshot"),
    ("bigquery", rest(404, "Not found: Dataset bqx-ml:nothing was not found in location EU", "notFound"), "dataset_missing"),
    ("bigquery", rest(404, "Not found: Dataset bqx-ml:nothing", "notFound"), "dataset_missing"),
    ("bigquery", rest(404, "Not found: Table bqx-ml:d.t was not found in location US", "notFound"), "table_missing"),
    ("bigquery", rest(404, "Not found: Job bqx-ml:job_1", "notFound"), "query_missing"),
    ("bigquery", rest(403, "Custom quota exceeded: Your usage exceeded the custom quota for QueryUsagePerUserPerDay", "quotaExceeded"), "custom_quota"),
    ("bigquery", rest(403, "Quota exceeded: Your project exceeded quota for free query bytes scanned.", "quotaExceeded"), "free_quota"),
    ("bigquery", rest(403, "Quota exceeded: Your project exceeded quota for concurrent queries.", "quotaExceeded"), "quota"),
    ("bigquery", rest(403, "Exceeded rate limits: too many api requests per user per method", "rateLimitExceeded"), "rate_limit"),
    ("bigquery", job(400, "Exceeded rate limits", "jobRateLimitExceeded"), "rate_limit_job"),
    ("bigquery", job(400, "The job encountered an error during execution. Retrying the job may solve the problem.", "jobBackendError"), "job_failed_inside"),
    ("bigquery", job(400, "An internal error occurred", "jobInternalError"), "job_failed_inside"),
    ("bigquery", rest(403, "x", "blocked"), "blocked"),
    ("bigquery", rest(403, "Response too large to return", "responseTooLarge"), "result_too_large"),
    ("bigquery", job(400, "Resources exceeded during query execution: x", "resourcesExceeded"), "resources_exceeded"),
    ("bigquery", rest(400, "The query is too large. The maximum standard SQL query length is 1024.00K characters, including comments and white space characters.", "invalid"), "query_too_large"),
    ("bigquery", rest(400, "Cannot read and write in different locations: source: EU, destination: US", "invalid"), "export_location"),
    ("bigquery", rest(403, "Access Denied: File gs://bqx-out/staging/joins/eurusd/0-proof-000000000000.parquet: Access Denied", "accessDenied"), "export_bucket"),
    ("bigquery", rest(400, "Syntax error: Unexpected keyword", "invalidQuery"), "bad_request"),
    ("bigquery", rest(400, "Cannot query over table 'p.d.t' without a filter over column(s) 'interval_time' that can be used for partition elimination", "invalidQuery"), "partition_filter"),
    ("storage_read", grpc("INVALID_ARGUMENT", "request failed: Cannot query over table 'p:d.t' without a filter over column(s) 'interval_time'"), "partition_filter"),
    ("bigquery", rest(400, "INFORMATION_SCHEMA.PARTITIONS query attempted to read too many tables", "invalidQuery"), "too_many_tables"),
    ("bigquery", rest(400, "Too many total leaf fields: 17038, max allowed field count: 10000", "invalid"), "too_many_columns"),
    ("bigquery", rest(400, "Could not serialize access to table p:d.t due to concurrent update", "invalidQuery"), "concurrent_change"),
    ("bigquery", rest(400, "Cannot list a table of type VIEW.", "invalid"), "not_a_table"),
    ("bigquery", rest(400, "Cannot run query: project does not have the reservation in the data region or no slots are configured", "invalid"), "slots"),
    ("bigquery", rest(500, "An internal error occurred and the request could not be completed.", "internalError"), "server"),
    ("bigquery", rest(503, "Error encountered during execution. Retrying may solve the problem.", "backendError"), "server"),
    ("bigquery", rest(409, "Already Exists: Job bqx-ml:job_1", "duplicate"), "job_duplicate"),
    ("bigquery", rest(400, "Error while reading data, error message: Failed to fetch row from PostgreSQL server", "invalid"), "source_database"),
    ("storage_read", grpc("PERMISSION_DENIED", "request failed: Access Denied: Table P:D.T: Permission bigquery.tables.getData denied on table P:D.T (or it may not exist)."), "permission"),
    ("storage_read", grpc("NOT_FOUND", "request failed: Not found: Table p:d.t"), "table_missing"),
    ("storage_read", grpc("INVALID_ARGUMENT", "request failed: non-table entities cannot be read with the storage API"), "not_a_table"),
    ("storage_read", grpc("FAILED_PRECONDITION", "there was an error creating the session: the table has a storage format that is not supported"), "storage_format"),
    ("storage_read", grpc("FAILED_PRECONDITION", "there was an error operating on 'projects/p/locations/us/sessions/s/streams/t': session expired at 2026-11-26T12:00:00+00:00"), "session_expired"),
    ("storage_read", grpc("FAILED_PRECONDITION", "Stream expired"), "session_expired"),
    ("storage_read", grpc("UNKNOWN", "Stream removed"), "stream_closed"),
    ("storage_read", grpc("INTERNAL", "Received RST_STREAM with error code 2"), "stream_closed"),
    ("storage_read", grpc("UNAVAILABLE", "503 server busy"), "server"),
    ("storage_read", grpc("DEADLINE_EXCEEDED", "Deadline Exceeded"), "slow"),
    ("storage_read", grpc("RESOURCE_EXHAUSTED", "there are too many streams", RetryInfo(retry_delay=Duration(seconds=7))), "rate_limit"),
    ("storage_read", grpc("RESOURCE_EXHAUSTED", "Received message larger than max (200 vs. 100)"), "message_too_large"),
    ("storage_read", grpc("UNAVAILABLE", "errors resolving bigquerystorage.googleapis.com:443: [UNKNOWN: C-ares]"), "network"),
    ("storage_read", grpc("UNAVAILABLE", "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: connection refused"), "network"),
]  # fmt: skip

STORAGE: list[Wording] = [
    ("cloud_storage", media(403, "x@p.iam.gserviceaccount.com does not have storage.objects.create access to the Google Cloud Storage object. Permission 'storage.objects.create' denied on resource (or it may not exist).", "forbidden"), "permission"),
    ("cloud_storage", media(403, "x@p.iam.gserviceaccount.com does not have storage.objects.get access to the Google Cloud Storage object."), "permission"),
    ("cloud_storage", rest(401, "Anonymous caller does not have storage.objects.get access to the Google Cloud Storage object.", "required"), "credentials_missing"),
    ("cloud_storage", rest(404, "No such object: B/O", "notFound"), "object_missing"),
    ("cloud_storage", rest(404, "The specified bucket does not exist.", "notFound"), "bucket_missing"),
    ("cloud_storage", rest(404, "No such object: b/Quota exceeded, session expired.parquet", "notFound"), "object_missing"),
    ("cloud_storage", media(404, "No such object: b/HNS permission denied.parquet"), "object_missing"),
    ("cloud_storage", media(403, _RETENTION, "retentionPolicyNotMet"), "retention"),
    ("cloud_storage", media(403, "Object 'B/O' is subject to bucket's retention policy and cannot be deleted, overwritten or archived until 2026-12-01T00:00:00.0-08:00", "forbidden"), "retention"),
    ("cloud_storage", media(403, _HOLD, "forbidden"), "hold"),
    ("cloud_storage", rest(403, _EVENT, "forbidden"), "hold"),
    ("cloud_storage", media(403, "<?xml version='1.0'?><Error><Code>ObjectUnderActiveHold</Code><Message>x</Message></Error>"), "hold"),
    ("cloud_storage", rest(403, "Bucket 'B' has a locked Retention Policy which cannot be removed.", "retentionPolicyNotMet"), "retention_locked"),
    ("cloud_storage", rest(400, "Cannot reduce retention duration of a locked Retention Policy for bucket 'B'.", "badRequestException"), "retention_locked"),
    ("cloud_storage", rest(400, "Bucket is requester pays bucket but no user project provided.", "required"), "requester_pays"),
    ("cloud_storage", rest(400, "x", "userProjectMissing"), "requester_pays"),
    ("cloud_storage", media(403, "Permission denied on Cloud KMS key. Please ensure that your Cloud Storage service account has been authorized to use this key.", "forbidden"), "kms_permission"),
    ("cloud_storage", media(400, "The Cloud KMS key is disabled, destroyed, or scheduled to be destroyed.", "invalid"), "kms_key_off"),
    ("cloud_storage", rest(400, "x", "cloudKmsDisabledKey"), "kms_key_off"),
    ("cloud_storage", rest(400, "Malformed Cloud KMS crypto key: K", "invalid"), "kms_key"),
    ("cloud_storage", rest(400, "x", "resourceIsEncryptedWithCustomerEncryptionKey"), "customer_key"),
    ("cloud_storage", rest(400, "Cannot insert legacy ACL for an object when uniform bucket-level access is enabled", "invalid"), "uniform_access"),
    ("cloud_storage", rest(412, "The member bindings allUsers are not allowed since public access prevention is enforced.", "conditionNotMet"), "public_access"),
    ("cloud_storage", rest(412, "Request violates constraint 'constraints/storage.retentionPolicySeconds'", "conditionNotMet"), "org_policy"),
    ("cloud_storage", rest(412, "'604800' violates constraint 'constraints/storage.softDeletePolicySeconds'", "orgPolicyConstraintFailed"), "org_policy"),
    ("cloud_storage", media(412, "At least one of the pre-conditions you specified did not hold.", "conditionNotMet"), "precondition"),
    ("cloud_storage", rest(409, "The metadata for bucket B was edited during the operation. Please try again.", "conflict"), "bucket_changed"),
    ("cloud_storage", media(429, "The object B/O exceeded the rate limit for object mutation operations (create, update, and delete). Please reduce your request rate. See https://cloud.google.com/storage/docs/gcs429.", "rateLimitExceeded"), "object_rate"),
    ("cloud_storage", media(410, "The total number of changes to the object B/O exceeds the rate limit.", "rateLimitExceeded"), "object_rate"),
    ("cloud_storage", media(410, ""), "upload_session"),
    ("cloud_storage", media(499, ""), "upload_session"),
    ("cloud_storage", media(403, "x", "userRateLimitExceeded"), "rate_limit"),
    ("cloud_storage", media(503, "<!DOCTYPE html><html><head><title>Error 503</title></head></html>"), "server"),
    ("cloud_storage", media(403, "<!DOCTYPE html><html><head><title>Blocked</title></head></html>"), "not_google"),
    ("cloud_storage", media(500, "We encountered an internal error. Please try again.", "backendError"), "server"),
    ("cloud_storage", media(408, "x", "uploadBrokenConnection"), "slow"),
    ("cloud_storage", media(416, "Requested range not satisfiable"), "range"),
    ("cloud_storage", media(413, "x", "uploadTooLarge"), "too_large"),
    ("cloud_storage", media(400, 'Provided CRC32C "AAAAAA==" doesn\'t match calculated CRC32C "BBBBBB==".', "invalid"), "checksum"),
    ("cloud_storage", rest(400, "Lifecycle rules on noncurrent versions are not supported for buckets with hierarchical namespace enabled", "invalid"), "hierarchical_namespace"),
]  # fmt: skip

RUN: list[Wording] = [
    ("cloud_run", grpc("PERMISSION_DENIED", "Permission 'run.jobs.runWithOverrides' denied on resource 'projects/p/locations/us-central1/jobs/bqx' (or it may not exist)."), "permission"),
    ("cloud_run", grpc("PERMISSION_DENIED", "Permission 'iam.serviceaccounts.actAs' denied on service account bqx@p.iam.gserviceaccount.com (or it may not exist)."), "permission"),
    ("cloud_run", grpc("NOT_FOUND", "Resource 'bqx' of kind 'JOB' in region 'europe-west1' in project 'p-1234' does not exist."), "job_missing"),
    ("cloud_run", grpc("NOT_FOUND", "Resource 'bqx-abc' of kind 'EXECUTION' in region 'europe-west1' in project 'p-1234' does not exist."), "execution_missing"),
    ("cloud_run", grpc("ALREADY_EXISTS", "Resource 'bqx' already exists."), "conflict"),
    ("cloud_run", grpc("FAILED_PRECONDITION", "Execution 'bqx-abc' cannot be cancelled because it is not running."), "not_running"),
    ("cloud_run", grpc("INVALID_ARGUMENT", "x", BadRequest(field_violations=[{"field": "spec.template.resources.limits.memory", "description": "Invalid value specified for memory. For 1.0 CPU, memory must be between 512Mi and 4Gi inclusive."}])), "job_size"),
    ("cloud_run", grpc("RESOURCE_EXHAUSTED", "Max instances must be set to 5 or fewer to set the requested total CPU."), "region_quota"),
    ("cloud_run", grpc("FAILED_PRECONDITION", "spec.template.spec.containers[0].env[0].value_from.secret_key_ref.name: Secret projects/12/secrets/S/versions/latest was not found"), "secret_missing"),
    ("cloud_run", grpc("FAILED_PRECONDITION", "secret_key_ref.name: Permission denied on secret: projects/12/secrets/S/versions/latest for Revision service account bqx@p.iam.gserviceaccount.com. The service account used must be granted"), "secret_permission"),
    ("cloud_run", grpc("NOT_FOUND", "Image 'us-docker.pkg.dev/p/r/bqx:1' not found."), "image_missing"),
    ("cloud_run", grpc("PERMISSION_DENIED", "Google Cloud Run Service Agent service-12@serverless-robot-prod.iam.gserviceaccount.com must have permission to read the image, us-docker.pkg.dev/p/r/bqx:1."), "image_permission"),
    ("secret_manager", grpc("PERMISSION_DENIED", "Permission 'secretmanager.versions.access' denied for resource 'projects/p/secrets/S/versions/latest' (or it may not exist)."), "secret_permission"),
    ("secret_manager", grpc("NOT_FOUND", "Secret [projects/12/secrets/S] not found or has no versions."), "secret_missing"),
    ("secret_manager", grpc("FAILED_PRECONDITION", "Secret Version [projects/12/secrets/S/versions/1] is in DISABLED state."), "secret_off"),
    ("cloud_sql", rest(403, "The client is not authorized to make this request.", "notAuthorized"), "cloud_sql_access"),
    ("cloud_sql", rest(403, "boss::NOT_AUTHORIZED: Not authorized to access resource. Possibly missing permission cloudsql.instances.get on resource instances/bqx.", "forbidden"), "cloud_sql_access"),
    ("artifact_registry", rest(403, "Permission 'artifactregistry.repositories.get' denied on resource '//artifactregistry.googleapis.com/projects/p/locations/us/repositories/r' (or it may not exist).", ""), "permission"),
]  # fmt: skip

CREDENTIALS: list[Wording] = [
    ("bigquery", auth.DefaultCredentialsError("Your default credentials were not found. To set up Application Default Credentials, see https://x for more information."), "credentials_missing"),
    ("bigquery", auth.DefaultCredentialsError("File /no/key.json was not found."), "credentials_file_missing"),
    ("bigquery", auth.DefaultCredentialsError("File /etc/key.json is not a valid json file.", ValueError("Expecting value")), "credentials_file_no_json"),
    ("bigquery", auth.DefaultCredentialsError("The file /etc/key.json does not have a valid type. Type is None, expected one of ('authorized_user',)."), "credentials_file_type"),
    ("bigquery", auth.DefaultCredentialsError("Failed to load service account credentials from /etc/key.json", auth.MalformedError("missing fields client_email")), "credentials_file_malformed"),
    ("bigquery", auth.DefaultCredentialsError("Failed to load authorized user credentials from /etc/key.json", ValueError("x")), "credentials_file_malformed"),
    ("bigquery", auth.RefreshError("File '/var/run/token' was not found."), "workload_token"),
    ("bigquery", auth.RefreshError("Unable to parse subject_token from JSON file '/var/run/token' using key 'access_token'"), "workload_token"),
    ("bigquery", auth.OAuthError("Error code unauthorized_client: The given credential is rejected by the attribute condition."), "workload_identity"),
    ("bigquery", auth.OAuthError('Error code invalid_target: The target service indicated by the "audience" parameters is invalid.'), "workload_identity"),
    ("bigquery", auth.RefreshError("Unable to acquire impersonated credentials", _IMPERSONATED), "impersonation"),
    ("bigquery", auth.RefreshError("invalid_grant: Bad Request", {"error": "invalid_grant", "error_description": "Bad Request"}), "credentials_revoked"),
    ("bigquery", auth.RefreshError("invalid_grant: Token has been expired or revoked.", {"error": "invalid_grant"}), "credentials_revoked"),
    ("bigquery", auth.RefreshError("invalid_grant: reauth related error (invalid_rapt)", {"error": "invalid_grant", "error_subtype": "invalid_rapt"}), "credentials_expired_login"),
    ("bigquery", auth.ReauthFailError("Reauthentication failed. Reauthentication challenge could not be answered"), "credentials_expired_login"),
    ("bigquery", auth.RefreshError(_CLOCK, {"error": "invalid_grant"}), "clock_wrong"),
    ("bigquery", auth.RefreshError("invalid_grant: Invalid JWT Signature.", {"error": "invalid_grant"}), "credentials_key"),
    ("bigquery", auth.RefreshError("invalid_grant: Invalid grant: account not found", {"error": "invalid_grant"}), "credentials_key"),
    ("bigquery", auth.RefreshError(auth.TransportError(_METADATA)), "metadata_server"),
    ("bigquery", auth.RefreshError(auth.TransportError("Failed to retrieve URL from the Google Compute Engine metadata service. Status: 404 Response: b''")), "no_account_attached"),
    ("bigquery", auth.TransportError("HTTPSConnectionPool(host='oauth2.googleapis.com', port=443): Max retries exceeded with url: /token"), "network"),
    ("bigquery", auth.RefreshError("invalid_client: The OAuth client was not found.", {"error": "invalid_client"}), "credentials"),
    ("storage_read", grpc("UNAVAILABLE", PLUGIN + "('invalid_grant: Bad Request', {'error': 'invalid_grant', 'error_description': 'Bad Request'})"), "credentials_revoked"),
    ("cloud_run", grpc("UNAVAILABLE", PLUGIN + "('invalid_grant: reauth related error (invalid_rapt)', {})"), "credentials_expired_login"),
    ("storage_read", grpc("UNAVAILABLE", PLUGIN + f"('{_CLOCK}', {{}})"), "clock_wrong"),
    ("storage_read", grpc("UNAVAILABLE", PLUGIN + _METADATA), "metadata_server"),
    ("storage_read", grpc("UNAVAILABLE", PLUGIN + "('Connection aborted.', RemoteDisconnected('Remote end closed connection without response'))"), "network"),
    ("storage_read", grpc("UNAVAILABLE", PLUGIN + f"('Unable to acquire impersonated credentials', '{_IMPERSONATED}')"), "impersonation"),
    ("bigquery", auth.RefreshError("internal_failure: Backend Error", {"error": "internal_failure"}), "token_server"),
    ("storage_read", grpc("UNAVAILABLE", PLUGIN + "something that nobody has seen"), "credentials"),
]  # fmt: skip

WORDINGS: list[Wording] = [*COMMON, *BIGQUERY, *STORAGE, *RUN, *CREDENTIALS]
