// The architecture as a test: which folder may import what, why not the rest, and how long a file
// may get. The table is the rule; the prose is in docs/architecture.md.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'

import { expect } from 'chai'
import { describe, it } from 'mocha'

const ROOT = resolve(import.meta.dirname, '..')

interface Layer {
  /** Folders of ours it may import from, beside itself. */
  readonly ours: readonly string[]
  /** Packages and Node modules it may import; "node:*" allows all of Node. */
  readonly others: readonly string[]
  /** Why it may not import more. */
  readonly why: string
}

const LAYERS: Readonly<Record<string, Layer>> = {
  core: {
    ours: [],
    others: [],
    why: 'core is pure: data in, data out, tested in microseconds and without root',
  },
  kernel: {
    ours: ['core'],
    others: ['node:*'],
    why: 'kernel returns facts and has no opinion: processes log them',
  },
  store: {
    ours: ['core', 'kernel'],
    others: ['node:*'],
    why: 'a store keeps documents; what they mean is decided in core',
  },
  proto: {
    ours: ['core'],
    others: ['node:*', '@grpc/grpc-js', '@grpc/proto-loader'],
    why: 'proto is the wire contract with KubeVirt and the kubelet and nothing else',
  },
  sidecar: {
    ours: ['core', 'proto'],
    others: ['node:*', '@grpc/grpc-js', 'pino'],
    why: 'the sidecar has no capabilities and 64 MB: it can change no kernel and load no Kubernetes client',
  },
  'cni-shim': {
    ours: ['core'],
    others: ['node:*'],
    why: 'the shim is started for every verb: each library costs start-up time, and stdout is the result',
  },
  agent: {
    ours: ['core', 'kernel', 'store', 'proto'],
    others: ['node:*', 'pino'],
    why: 'processes never import each other',
  },
  cli: {
    ours: ['core', 'kernel', 'store', 'proto'],
    others: ['node:*', 'commander', 'yaml'],
    why: 'processes never import each other',
  },
}

/** Single files that may do what their folder may not, each for one reason. */
const EXCEPTIONS: Readonly<Record<string, readonly string[]>> = {
  // A hash is a pure function.
  'core/hash.ts': ['node:crypto'],
  // The only files that know the Kubernetes client.
  'store/kubernetes/client.ts': ['@kubernetes/client-node'],
  'store/kubernetes/connections.ts': ['@kubernetes/client-node'],
  'store/kubernetes/errors.ts': ['@kubernetes/client-node'],
  'store/kubernetes/events.ts': ['@kubernetes/client-node'],
  'store/kubernetes/owners.ts': ['@kubernetes/client-node'],
  'store/kubernetes/token-file.ts': ['@kubernetes/client-node'],
  'store/kubernetes/nodes.ts': ['@kubernetes/client-node'],
  'store/kubernetes/object-watch.ts': ['@kubernetes/client-node'],
  'store/kubernetes/vms.ts': ['@kubernetes/client-node'],
  // The spelling of an address is one, too.
  'core/net/ip.ts': ['node:net'],
  // The version is said in one place.
  'cni-shim/about.ts': ['../package.json'],
  // What a path leads to is one question, whoever asks; it starts nothing.
  'cni-shim/client.ts': ['../kernel/root-path.ts'],
  'cni-shim/release.ts': ['../kernel/root-path.ts'],
  // Who listens on a socket Node does not say.
  'cni-shim/peer.ts': ['bun:ffi'],
  // The only file that knows which XML parser we use.
  'core/domain/tree.ts': ['fast-xml-parser'],
}

/** The files that an exception names. */
const EXCEPTED = Object.keys(EXCEPTIONS)

const LINES_MAX = 400
const TEST_LINES_MAX = 600

function listFiles(folder: string): readonly string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => join(folder, file))
    .sort()
}

function listImports(file: string): readonly string[] {
  const text = readFileSync(join(ROOT, file), 'utf8')
  const pattern =
    /(?:^|\n)\s*(?:import|export)\s[^'"`;]*?from\s*'([^']+)'|import\(\s*'([^']+)'\s*\)|(?:^|\n)import\s*'([^']+)'/g
  return [...text.matchAll(pattern)].map((match) => match[1] ?? match[2] ?? match[3] ?? '')
}

function findFault(file: string, layerName: string, layer: Layer, imported: string): string[] {
  if (imported.startsWith('.')) {
    const target = relative(ROOT, resolve(ROOT, dirname(file), imported)).split('/')[0] ?? ''
    if (target === layerName || layer.ours.includes(target)) return []
    if ((EXCEPTIONS[file] ?? []).includes(imported)) return []
    return [`${file} imports ${imported}: ${layer.why}`]
  }
  const isAllowed =
    layer.others.includes(imported) ||
    (layer.others.includes('node:*') && imported.startsWith('node:')) ||
    (EXCEPTIONS[file] ?? []).includes(imported)
  return isAllowed ? [] : [`${file} imports ${imported}: ${layer.why}`]
}

/** Each way that comes back to where it was. */
function findCircles(
  targets: ReadonlyMap<string, readonly string[]>,
): readonly (readonly string[])[] {
  const circles: (readonly string[])[] = []
  const done = new Set<string>()
  const walk = (file: string, way: readonly string[]): void => {
    const at = way.indexOf(file)
    if (at >= 0) circles.push([...way.slice(at), file])
    if (at >= 0 || done.has(file)) return
    for (const target of targets.get(file) ?? []) walk(target, [...way, file])
    done.add(file)
  }
  for (const file of targets.keys()) walk(file, [])
  return circles
}

describe('layers', () => {
  for (const [name, layer] of Object.entries(LAYERS))
    it(`${name} imports only what it may`, () => {
      const files = listFiles(name)
      expect(files, 'a folder without files would pass on nothing').to.not.be.empty
      const faults = files.flatMap((file) =>
        listImports(file).flatMap((imported) => findFault(file, name, layer, imported)),
      )
      expect(faults).to.deep.equal([])
    })

  it('excepts only files that are there', () => {
    expect(EXCEPTED.filter((file) => !existsSync(join(ROOT, file)))).to.deep.equal([])
  })

  it('sees imports at all', () => {
    expect(listImports('agent/main.ts')).to.include.members(['pino', './serve.ts'])
    expect(
      findFault('core/x.ts', 'core', LAYERS['core'] as Layer, '../kernel/run.ts'),
    ).to.have.length(1)
    expect(findFault('core/x.ts', 'core', LAYERS['core'] as Layer, 'node:fs')).to.have.length(1)
  })

  it('only what asks for a cluster loads its client', () => {
    const folders = Object.keys(LAYERS).filter((name) => name !== 'store')
    const loads = [...folders, 'lab', 'bench'].flatMap(listFiles).flatMap((file) => {
      const text = readFileSync(join(ROOT, file), 'utf8')
      return [...text.matchAll(/^import (?!type)[^;]*?from '[^']*store\/kubernetes\/[^']*'/gm)].map(
        () => file,
      )
    })
    expect(loads, 'static imports of store/kubernetes').to.deep.equal([])
  })

  it('an agent loads gRPC only for a kubelet', () => {
    const loads = listFiles('agent').filter((file) => {
      const text = readFileSync(join(ROOT, file), 'utf8')
      return /^import (?!type)[^;]*?from '[^']*\/proto\/[^']*'/m.test(text)
    })
    expect(loads).to.deep.equal(['agent/attach/device-plugin.ts'])
    const importers = listFiles('agent').filter((file) =>
      new RegExp(`^import (?!type)[^;]*?from '[.]{1,2}/(attach/)?device-plugin.ts'`, 'm').test(
        readFileSync(join(ROOT, file), 'utf8'),
      ),
    )
    expect(importers, 'static imports of it').to.deep.equal([])
  })

  it('no imports go in a circle', () => {
    const files = Object.keys(LAYERS).flatMap(listFiles)
    const targets = new Map(
      files.map((file) => [
        file,
        listImports(file)
          .filter((imported) => imported.startsWith('.'))
          .map((imported) => relative(ROOT, resolve(ROOT, dirname(file), imported))),
      ]),
    )
    expect(findCircles(targets)).to.deep.equal([])
    expect(
      findCircles(
        new Map([
          ['a', ['b']],
          ['b', ['c']],
          ['c', ['b']],
        ]),
      ),
    ).to.deep.equal([['b', 'c', 'b']])
  })

  it('no file is too long to be read', () => {
    const folders = [...Object.keys(LAYERS), 'lab', 'bench', 'build', 'setup', 'test']
    const long = folders.flatMap((folder) =>
      listFiles(folder)
        .map((file) => [file, readFileSync(join(ROOT, file), 'utf8').split('\n').length] as const)
        .filter(([, lines]) => lines > (folder === 'test' ? TEST_LINES_MAX : LINES_MAX)),
    )
    expect(long).to.deep.equal([])
  })

  it('no folder is a place for odds and ends', () => {
    const names = Object.keys(LAYERS)
      .flatMap(listFiles)
      .filter((file) => /(^|\/)(utils?|helpers?|common|types|constants|index)(\.ts|\/)/.test(file))
    expect(names).to.deep.equal([])
  })
})
