// Images that are made without a container engine: what goes in, and that the same folder gives the same bytes.
import { execFile } from 'node:child_process'
import { chmod, mkdir, readFile, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { parseMirrors, renderSources } from '../../lab/kube/debian-mirror.ts'
import { toArgv } from '../../lab/kube/debian-root.ts'
import { renderConfig, toLayer, writeDockerArchive } from '../../lab/kube/docker-archive.ts'
import { layOut, type Entry } from '../../lab/kube/entries.ts'
import { packLayer, toDigest } from '../../lab/kube/layer.ts'
import { newTemporaryFolder } from '../../lab/temporary-folder.ts'

const execute = promisify(execFile)

const listTar = async (file: string): Promise<readonly string[]> =>
  (await execute('tar', ['--numeric-owner', '--full-time', '-tvf', file])).stdout.trim().split('\n')

describe('a layer', () => {
  it('is the same bytes whatever the times and the order in which its files were made', async () => {
    await using folder = await newTemporaryFolder('layer')
    const digests: string[] = []
    for (const [index, names] of [
      ['a', 'b'],
      ['b', 'a'],
    ].entries()) {
      const content = join(folder.path, `content${index}`)
      await mkdir(content)
      for (const name of names) await writeFile(join(content, name), name)
      await utimes(join(content, 'a'), index, index)
      await chmod(content, 0o755)
      const target = join(folder.path, `${index}.tar`)
      await packLayer(content, target)
      digests.push(await toDigest(target))
    }
    expect(digests[0])
      .to.match(/^[0-9a-f]{64}$/)
      .and.equal(digests[1])
  })

  it('holds entries with owners, modes and links, and nothing of what a runtime mounts', async () => {
    await using folder = await newTemporaryFolder('entries')
    const content = join(folder.path, 'content')
    await mkdir(content)
    const entries: readonly Entry[] = [
      { path: 'etc/libvirt/hooks', of: 'folder', owner: 107 },
      { path: 'etc/qemu.conf', of: { text: 'user = "qemu"\n' }, mode: 0o644 },
      { path: 'tmp', of: 'folder', mode: 0o1777 },
      { path: 'usr/bin/copy', of: { file: '/bin/busybox' } },
      { path: 'var/run', of: { link: '../run' } },
      { path: 'dev/null', of: { text: '' } },
    ]
    await layOut(content, entries)
    await packLayer(content, join(folder.path, 'layer.tar'))
    const lines = (await listTar(join(folder.path, 'layer.tar'))).map((line) =>
      line.replace(/ +\d+ 2026-01-01 00:00:00 /, ' '),
    )
    expect(lines).to.include.members([
      'drwxr-xr-x 107/107 ./etc/libvirt/hooks/',
      '-rw-r--r-- 0/0 ./etc/qemu.conf',
      'drwxrwxrwt 0/0 ./tmp/',
      '-rwxr-xr-x 0/0 ./usr/bin/copy',
      'lrwxrwxrwx 0/0 ./var/run -> ../run',
      'drwxr-xr-x 0/0 ./dev/',
    ])
    expect(lines.join('\n')).to.not.include('dev/null')
  })

  it('follows no link of an entry before', async () => {
    await using folder = await newTemporaryFolder('entries')
    const outside = join(folder.path, 'outside')
    await writeFile(outside, 'whole')
    const content = join(folder.path, 'content')
    await mkdir(content)
    const entries: readonly Entry[] = [
      { path: 'a', of: { link: outside } },
      { path: 'a', of: { text: 'overwritten' } },
    ]
    const error = await layOut(content, entries).catch((reason: unknown) => reason)
    expect(error).to.be.instanceOf(Error)
    expect(await readFile(outside, 'utf8')).to.equal('whole')
  })
})

describe('an archive', () => {
  it('has a manifest, a configuration, and each layer under its name', async () => {
    await using folder = await newTemporaryFolder('archive')
    const files = ['base.tar', 'own.tar'].map((name) => join(folder.path, name))
    for (const file of files) await packLayer(import.meta.dirname, file)
    const layers = await Promise.all(files.map(toLayer))
    const start = { entrypoint: ['/bin/l2w'], user: '107', env: { PATH: '/bin' } }
    const target = join(folder.path, 'image.tar')
    await writeDockerArchive(target, 'l2w.lab/one:1', start, layers)
    const names = (await execute('tar', ['-tf', target])).stdout.trim().split('\n')
    expect(names).to.deep.equal(['manifest.json', 'config.json', 'base.tar', 'own.tar'])
    const { stdout } = await execute('tar', ['-xOf', target, 'manifest.json'])
    expect(JSON.parse(stdout)).to.deep.equal([
      { Config: 'config.json', RepoTags: ['l2w.lab/one:1'], Layers: ['base.tar', 'own.tar'] },
    ])
    const first = await toDigest(target)
    await writeDockerArchive(target, 'l2w.lab/one:1', start, layers)
    expect(await toDigest(target)).to.equal(first)
    expect((await stat(target)).size).to.be.greaterThan(0)
  })

  it('says of its containers what it was told', () => {
    const layer = { file: '/x/layer.tar', digest: 'ab' }
    const start = { entrypoint: ['/a', 'b'], user: '107', env: { HOME: '/', A: 'b=c' } }
    const config = JSON.parse(renderConfig(start, [layer])) as Record<string, unknown>
    expect(config).to.include({ os: 'linux', created: '2026-01-01T00:00:00.000Z' })
    expect(config['config']).to.deep.equal({
      User: '107',
      Entrypoint: ['/a', 'b'],
      Env: ['HOME=/', 'A=b=c'],
    })
    expect(config['rootfs']).to.deep.equal({ type: 'layers', diff_ids: ['sha256:ab'] })
  })
})

describe('a Debian root', () => {
  const sources = `Docker CE http://docker.example/debian/
Debian Debian http://mirror.example/debian/
Debian Debian-Security http://mirror.example/security
`

  it("comes from the machine's own mirrors, security fixes included", () => {
    const mirrors = parseMirrors(sources)
    expect(mirrors).to.deep.equal({
      debian: 'http://mirror.example/debian',
      security: 'http://mirror.example/security',
    })
    expect(mirrors && renderSources(mirrors, 'trixie')).to.deep.equal([
      'deb http://mirror.example/debian trixie main',
      'deb http://mirror.example/debian trixie-updates main',
      'deb http://mirror.example/security trixie-security main',
    ])
  })

  it('is not guessed where apt knows no Debian', () => {
    expect(parseMirrors('Ubuntu Ubuntu http://mirror.example/ubuntu/\n')).to.equal(undefined)
  })

  it('has the packages named and no manuals', () => {
    const root = { name: 'one', suite: 'bookworm', packages: ['iproute2', 'lldpd'] } as const
    const argv = toArgv(root, '/x', ['deb http://mirror.example/debian bookworm main'])
    expect(argv).to.include.members([
      '--include=iproute2,lldpd',
      '--dpkgopt=path-exclude=/usr/share/man/*',
    ])
    expect(argv.slice(-3)).to.deep.equal([
      'bookworm',
      '/x',
      'deb http://mirror.example/debian bookworm main',
    ])
  })
})
