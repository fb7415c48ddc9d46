// kubectl l2wire by the real kubectl exec: the whole path, captures that leave nothing behind, a cable pulled, and what
// users hear who may not.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'

import { CommandError } from '../../core/errors.ts'
import { decodePcap } from '../../core/tester/pcap.ts'
import type { WireDescription } from '../../core/view/description.ts'
import { toShellEnvironment } from '../../lab/kube/kubectl.ts'
import { newTemporaryFolder } from '../../lab/temporary-folder.ts'
import { expectSoon } from '../expect-soon.ts'
import { newPlace, type Place } from '../../lab/kube/place.ts'

const ARP = 0x0806
/** Of h1. */
const ADDRESS = '198.51.100.1'

function readEthertype(frame: Uint8Array): number {
  return Buffer.from(frame).readUInt16BE(12)
}

describe("kubectl l2wire on a cluster's nodes", function () {
  this.timeout(300_000)
  let place: Place
  /** Host ends of the wire, on both nodes. */
  let devices: readonly string[]

  before(async () => {
    place = await newPlace()
    await place.addCable('h1-h2', { mtu: 9216, capabilities: { ips: true } })
    await place.addPod('h1', 'n1', [{ name: 'h1-h2', ips: [`${ADDRESS}/24`] }])
    await place.addPod('h2', 'n2', [{ name: 'h1-h2', ips: ['198.51.100.2/24'] }])
    await place.waitUntilConnected('h1-h2')
  })
  after(async () => place[Symbol.asyncDispose]())

  const readCarrier = async (pod: string): Promise<string> =>
    (await place.kubectl('exec', pod, '--', 'cat', '/sys/class/net/eth1/carrier')).trim()
  const listPrograms = async (): Promise<string> => {
    const lists = place.cluster.nodes.map(async (node) => node.run(['ps', '-eo', 'args=']))
    return (await Promise.all(lists)).join('\n')
  }

  it('draws the whole path, each part as its node has it', async () => {
    const text = await place.l2wire('describe', 'h1-h2', '-o', 'json')
    const { path, state, findings, nodes } = JSON.parse(text) as WireDescription
    expect(state).to.equal('Connected')
    expect(findings).to.deep.equal([])
    expect(nodes.map(({ reason }) => reason)).to.deep.equal([null, null])
    expect(path.join('\n')).to.include('pod/h1').and.include('pod/h2')
    expect(path.join('\n')).to.not.include('?').and.not.include('╳')
    expect(await place.l2wire('describe', 'h1-h2')).to.include(path[0])
    devices = path.join('\n').match(/lw[0-9a-f]+/g) ?? []
    expect(devices).to.have.length(2)
  })

  it('lists it as kubectl does', async () => {
    const [line = ''] = (await place.kubectl('get', 'wires', '--no-headers')).split('\n')
    const text = await place.l2wire('get')
    for (const word of ['h1-h2', 'Connected', 'pod/h1 eth1, pod/h2 eth1', 'n1, n2']) {
      expect(line).to.include(word)
      expect(text).to.include(word)
    }
  })

  it('tests it from node to node', async () => {
    const rows = await place.l2wire('test', 'h1-h2', '--idle', '1')
    expect(rows).to.match(/^01-80-C2-00-00-0E LLDP +delivered +delivered$/m)
  })

  for (const signal of ['SIGINT', 'SIGKILL'] as const)
    it(`brings a capture here, and leaves no tcpdump on a node, ended by ${signal}`, async () => {
      await using folder = await newTemporaryFolder('capture')
      const file = join(folder.path, 'heard.pcap')
      const argv = ['kubectl', 'l2wire', 'capture', 'h1-h2', '-n', place.namespace, '-w', file]
      const [command = '', ...more] = await place.cluster.enter(argv)
      const env = { ...process.env, ...toShellEnvironment() }
      const capture = spawn(command, more, { env, stdio: ['ignore', 'ignore', 'pipe'] })
      const ended = once(capture, 'exit')
      let said = ''
      capture.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
      await expectSoon('it listens', () => said.includes('listening on'))
      await place.kubectl('exec', 'h2', '--', 'arping', '-c', '1', '-I', 'eth1', ADDRESS)
      await expectSoon('it is heard', async () => decodePcap(await readFile(file)).length > 0)
      capture.kill(signal)
      const [exitCode] = (await ended) as [number | null]
      if (signal === 'SIGINT') expect(exitCode, said).to.equal(0)
      const frames = decodePcap(await readFile(file))
      expect(frames.map(readEthertype)).to.deep.equal(frames.map(() => ARP))
      await expectSoon('no tcpdump is left', async () => {
        const programs = await listPrograms()
        return !devices.some((device) => programs.includes(`tcpdump -i ${device}`))
      })
    })

  it('takes the cable out and puts it back: both ends show it', async () => {
    await place.l2wire('unplug', 'h1-h2')
    for (const pod of ['h1', 'h2']) expect(await readCarrier(pod), pod).to.equal('0')
    expect(await place.l2wire('get')).to.include('Unplugged')
    await place.l2wire('plug', 'h1-h2')
    for (const pod of ['h1', 'h2']) expect(await readCarrier(pod), pod).to.equal('1')
  })

  it('says what right a user lacks', async () => {
    await place.kubectl('create', 'serviceaccount', 'reader')
    const user = `system:serviceaccount:${place.namespace}:reader`
    const rights = ['--verb=get,list', '--resource=wires.l2wire.dev']
    await place.kubectl('create', 'role', 'reader', ...rights)
    await place.kubectl(
      'create',
      'rolebinding',
      'reader',
      '--role=reader',
      `--serviceaccount=${place.namespace}:reader`,
    )
    expect(await place.l2wire('get', '--as', user)).to.include('h1-h2')
    let refusal = ''
    try {
      await place.l2wire('unplug', 'h1-h2', '--as', user)
    } catch (error) {
      if (!(error instanceof CommandError)) throw error
      refusal = error.stderr
    }
    expect(refusal).to.include('forbidden').and.not.include('    at ')
    expect(await readCarrier('h1')).to.equal('1')
  })
})
