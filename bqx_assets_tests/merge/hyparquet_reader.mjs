// Reads a parquet file with hyparquet and writes a line of JSON for each column: name, kind, values.
// Arguments: the file, and the file to write. Numbers are texts of whole numbers: bits of a float, microseconds of a time.
import { closeSync, openSync, writeSync } from 'node:fs'
import { asyncBufferFromFile, parquetMetadataAsync, parquetRead } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'

const [path, target] = process.argv.slice(2)
const file = await asyncBufferFromFile(path)
const metadata = await parquetMetadataAsync(file)
const parsers = { timestampFromMicroseconds: micros => micros } // its own gives a Date, which has milliseconds

const number = new Float64Array(1)
const bits = new BigInt64Array(number.buffer)
function text(value) {
  if (typeof value === 'number') {
    number[0] = value
    return bits[0].toString()
  }
  return typeof value === 'bigint' ? value.toString() : value
}

const output = openSync(target, 'w')
for (const { name, type, converted_type } of metadata.schema.slice(1)) {
  const values = []
  const onChunk = ({ columnData, rowStart }) => {
    for (let row = 0; row < columnData.length; row++) values[rowStart + row] = text(columnData[row]) ?? null
  }
  await parquetRead({ file, metadata, columns: [name], compressors, parsers, onChunk })
  writeSync(output, JSON.stringify([name, converted_type === 'TIMESTAMP_MICROS' ? converted_type : type, values]) + '\n')
}
closeSync(output)
