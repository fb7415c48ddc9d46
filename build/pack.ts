// Writes into dist/image what the images hold in another form than dist/bin: Node without its symbols, and the
// CNI plugin compressed, because the image only carries it to the node and never runs it.
// Usage: node build/pack.ts [--node PATH]      default: the Node of this checkout
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  writeFileSync,
} from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { constants, zstdCompressSync } from 'node:zlib'

const DIST = resolve(import.meta.dirname, '../dist')
const IMAGE = join(DIST, 'image')

/** It compresses 109 MB to 45 in seconds. Level 15 gives 44 in a minute. */
const LEVEL = 9

const { values: options } = parseArgs({ options: { node: { type: 'string' } } })

mkdirSync(IMAGE, { recursive: true })
packNode(options.node ?? join(import.meta.dirname, '../node_modules/.bin/node'))
packPlugin(join(DIST, 'bin/l2wire'))

function packNode(source: string): void {
  const target = join(IMAGE, 'node')
  copyFileSync(realpathSync(source), target)
  execFileSync('strip', [target], { stdio: ['ignore', 'ignore', 'inherit'] })
  chmodSync(target, 0o755)
}

/** agent/node-tool/packed-plugin.ts reads it. */
function packPlugin(source: string): void {
  const plugin = readFileSync(source)
  const params = {
    [constants.ZSTD_c_compressionLevel]: LEVEL,
    [constants.ZSTD_c_checksumFlag]: 1,
  }
  writeFileSync(join(IMAGE, 'l2wire.zst'), zstdCompressSync(plugin, { params }))
  const sha256 = createHash('sha256').update(plugin).digest('hex')
  writeFileSync(join(IMAGE, 'l2wire.json'), `${JSON.stringify({ size: plugin.length, sha256 })}\n`)
}
