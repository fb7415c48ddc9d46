// What the plugin refuses by itself, without an agent, and what it says of itself.
import { join } from 'node:path'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { callPlugin, execPlugin, type CniCall } from '../../../lab/cni.ts'
import { ROOT } from '../../../lab/manifests.ts'
import { expectError } from '../fixture-refusal.ts'

const NETWORK = { cniVersion: '1.1.0', name: 'w', type: 'l2wire' }

/** A configuration of just so many bytes. */
function pad(bytes: number): string {
  const empty = JSON.stringify({ ...NETWORK, x: '' })
  return JSON.stringify({ ...NETWORK, x: 'x'.repeat(bytes - empty.length) })
}

describe('bad input to the plugin itself', () => {
  const plugin = join(ROOT, 'dist/bin/l2wire')
  const add = { command: 'ADD', containerID: 'c1', netns: '/run/netns/x', ifname: 'eth1' }
  const refusals: readonly {
    name: string
    call: CniCall
    stdin: string | Uint8Array
    code: number
    words: readonly string[]
  }[] = [
    { name: 'empty standard input', call: add, stdin: '', code: 6, words: ['empty'] },
    { name: 'half of a JSON', call: add, stdin: '{"cniVersion":', code: 6, words: ['JSON'] },
    {
      name: 'bytes that are no text',
      call: add,
      stdin: Uint8Array.from([0, 255, 254, 10]),
      code: 6,
      words: ['JSON'],
    },
    { name: 'a list', call: add, stdin: '[]', code: 6, words: ['[]'] },
    {
      name: 'a configuration of 3 MB',
      call: add,
      stdin: `"${'x'.repeat(3e6)}"`,
      code: 6,
      words: ['3000002 bytes', '65536'],
    },
    ...['ADD', 'CHECK', 'STATUS'].map((command) => ({
      name: `a configuration of 64 KB and a byte, for ${command}`,
      call: { ...add, command },
      stdin: pad(64 * 1024 + 1),
      code: 6,
      words: ['bytes', '65536'],
    })),
    {
      name: 'no variables',
      call: { command: 'ADD' },
      stdin: '{}',
      code: 4,
      words: ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME'],
    },
    {
      name: 'an ifname of 16 bytes',
      call: { ...add, ifname: 'abcdefghijklmnop' },
      stdin: '{}',
      code: 4,
      words: ['CNI_IFNAME', '15'],
    },
    {
      name: 'an ifname with a quote',
      call: { ...add, ifname: 'a"b' },
      stdin: '{}',
      code: 4,
      words: ['CNI_IFNAME'],
    },
    {
      name: 'a containerID with a newline',
      call: { ...add, containerID: 'a\nb' },
      stdin: '{}',
      code: 4,
      words: ['CNI_CONTAINERID'],
    },
    {
      name: 'no cniVersion',
      call: add,
      stdin: '{"name":"w","type":"l2wire"}',
      code: 1,
      words: ['cniVersion', 'missing'],
    },
    {
      name: 'a CHECK of 0.3.1',
      call: { ...add, command: 'CHECK' },
      stdin: '{"cniVersion":"0.3.1"}',
      code: 1,
      words: ['CHECK', '0.4.0'],
    },
    {
      name: 'a STATUS of 1.0.0',
      call: { command: 'STATUS' },
      stdin: '{"cniVersion":"1.0.0"}',
      code: 1,
      words: ['STATUS', '1.1.0'],
    },
    {
      name: 'a socket nobody listens on',
      call: { ...add, socket: '/nowhere.sock' },
      stdin: '{"cniVersion":"1.0.0"}',
      code: 11,
      words: ['/nowhere.sock'],
    },
    ...['x', '', `/${'x'.repeat(107)}`].map((socket) => ({
      name: `an environment whose socket is "${socket.slice(0, 9)}"`,
      call: { ...add, socket },
      stdin: '{"cniVersion":"1.0.0"}',
      code: 4,
      words: ['L2WIRE_SOCKET', '107'],
    })),
    ...['ADD', 'CHECK', 'STATUS', 'GC'].flatMap((command) =>
      ['"/tmp/x.sock"', '"/run/l2wire/agent.sock"', '""', 'null', '5', '{}'].map((socket) => ({
        name: `${command} of a network that names a socket, ${socket}`,
        call: { ...add, command },
        stdin: `{"cniVersion":"1.1.0","name":"w","type":"l2wire","socket":${socket}}`,
        code: 7,
        words: ['"socket"', 'Take it out', 'L2WIRE_SOCKET'],
      })),
    ),
  ]
  for (const { name, call: cniCall, stdin, code, words } of refusals)
    it(`${name}: error ${code}`, async () => {
      expectError(await callPlugin(plugin, cniCall, stdin), code, words)
    })

  it('an answer carries the version it was asked in', async () => {
    const answer = await callPlugin(
      plugin,
      { ...add, socket: '/nowhere.sock' },
      '{"cniVersion":"0.4.0"}',
    )
    expect(answer.output).to.include({ cniVersion: '0.4.0' })
  })

  for (const name of ['l2wire', 'l2wire-bind'])
    it(`${name} says what it is when no verb asks for more`, async () => {
      const answer = await execPlugin([join(ROOT, 'dist/bin', name)], {}, '')
      expect(answer).to.include({ exitCode: 0, stdout: '' })
      const [about, versions] = answer.stderr.split('\n')
      expect(about).to.match(new RegExp(`^CNI ${name} plugin v\\d+\\.\\d+\\.\\d+$`))
      expect(versions).to.equal('CNI protocol versions supported: 0.3.1, 0.4.0, 1.0.0, 1.1.0')
    })

  it('a configuration of 64 KB goes to the agent', async () => {
    const call = { ...add, socket: '/nowhere.sock' }
    expectError(await callPlugin(plugin, call, pad(64 * 1024)), 11, ['/nowhere.sock'])
  })

  it('VERSION needs nothing, under either name', async () => {
    for (const name of ['l2wire', 'l2wire-bind']) {
      const answer = await callPlugin(join(ROOT, 'dist/bin', name), { command: 'VERSION' }, '')
      expect(answer.output?.['supportedVersions']).to.deep.equal([
        '0.3.1',
        '0.4.0',
        '1.0.0',
        '1.1.0',
      ])
    }
  })
})
