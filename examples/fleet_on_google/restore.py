"""Lists the kept versions of a pair's published file, or brings one back: ``restore.py PAIR [GENERATION]``.

The bucket is that of ``BQX_OUTPUT=gs://bucket[/prefix]``. What is replaced becomes an earlier version itself.
"""

import os
import sys

from google.cloud import storage


def main() -> None:
    """List the versions, or copy one back together with its manifest, report and dictionary."""
    pair, wanted = sys.argv[1], int(sys.argv[2]) if sys.argv[2:] else None
    name, _, folder = os.environ["BQX_OUTPUT"].removeprefix("gs://").partition("/")
    prefix = f"{folder.rstrip('/')}/" if folder else ""
    client = storage.Client(project=None)
    bucket = client.bucket(name)
    published = f"{prefix}training_{pair}.parquet"

    found = bucket.list_blobs(prefix=published, versions="true")  # of a name in the order of their generations
    versions = [each for each in found if each.name == published]
    if wanted is None:
        for each in versions:
            live = "live" if each.time_deleted is None else "earlier"
            print(f"{each.generation}  {each.time_created:%Y-%m-%d %H:%M:%S}  {each.size:,} bytes  {live}")
        return

    old = next((each for each in versions if each.generation == wanted), None)
    if old is None:
        sys.exit(f"no version {wanted} of gs://{name}/{published}: restore.py {pair} lists them")
    live = next((each.generation for each in versions if each.time_deleted is None), 0)
    # The precondition ends this with an error if somebody publishes meanwhile.
    bucket.copy_blob(old, bucket, published, source_generation=wanted, if_generation_match=live)
    for companion in (value for value in old.metadata.values() if value.startswith("companions/")):
        suffix = companion.rpartition("/")[2].partition(".")[2]  # behind the digest: manifest.json, report.json, ...
        bucket.copy_blob(bucket.blob(prefix + companion), bucket, f"{prefix}training_{pair}.{suffix}")
    print(f"gs://{name}/{published}: generation {wanted} is published again; now: bqx verify {pair}")


if __name__ == "__main__":
    main()
