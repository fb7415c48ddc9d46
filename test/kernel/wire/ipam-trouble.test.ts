// IPAM plugins that fail as no plugin should, or take their time: the address is given back whatever goes
// wrong, and nothing half-made is left.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect } from 'chai'
import { afterEach, beforeEach, describe, it } from 'mocha'

import { SOCKET_VARIABLE } from '../../../core/cni/socket.ts'
import { toHostEndName } from '../../../core/name.ts'
import { ROOT } from '../../../lab/manifests.ts'
import { newLabNetns } from '../../../lab/netns.ts'
import { listTraces } from '../../../lab/traces.ts'
import { expectSoon } from '../../expect-soon.ts'
import { CONFIG, HOST_LOCAL, useIpam } from '../fixture-ipam.ts'

describe('IPAM plugins in trouble', function () {
  this.timeout(90_000)
  const { place, toCall, hostLocal, listLeases, writePlugin, add, del } = useIpam()
  // What the plugin of "that take their time" goes by.
  const isAsked = async (): Promise<boolean> => (await readdir(place().folder)).includes('asked')
  const go = async (): Promise<void> => writeFile(join(place().folder, 'go'), '')

  const failures: readonly { name: string; add: string; code: number; words: readonly string[] }[] =
    [
      {
        name: 'says why',
        add: `${HOST_LOCAL} >/dev/null; echo '{"cniVersion":"1.0.0","code":11,"msg":"no lease","details":"later"}'; exit 1`,
        code: 11,
        words: ['no lease', 'later'],
      },
      {
        name: 'ends without a word',
        add: `${HOST_LOCAL} >/dev/null; exit 3`,
        code: 110,
        words: ['exit code 3'],
      },
      { name: 'dies', add: `${HOST_LOCAL} >/dev/null; kill -9 $$`, code: 110, words: ['SIGKILL'] },
      {
        name: 'prints garbage',
        add: `${HOST_LOCAL} >/dev/null; echo garbage; exit 0`,
        code: 110,
        words: ['garbage', 'a JSON object'],
      },
      {
        name: 'prints nothing',
        add: `${HOST_LOCAL} >/dev/null; exit 0`,
        code: 110,
        words: ['ips', 'at least one address'],
      },
      {
        name: 'prints an address that is none',
        add: `${HOST_LOCAL} >/dev/null; echo '{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.1 dev lo"}]}'; exit 0`,
        code: 110,
        words: ['ips[0].address', '10.0.0.1 dev lo'],
      },
      {
        name: 'gives a next hop that is out of reach',
        add: `${HOST_LOCAL} >/dev/null; echo '{"ips":[{"address":"10.0.0.10/24"}],"routes":[{"dst":"0.0.0.0/0","gw":"192.168.7.7"}]}'; exit 0`,
        code: 100,
        words: ['addresses and routes', '192.168.7.7'],
      },
    ]
  for (const { name, add: script, code, words } of failures)
    it(`one that ${name}: error ${code}, and all is taken back`, async () => {
      const { node, a } = place()
      await writePlugin('l2wfail', script)
      const answer = await node.call(hostLocal('l2wfail'), toCall('ADD', a, 'c1'))
      expect(answer.exitCode).to.equal(1)
      expect(answer.output, answer.stdout).to.include({ code })
      const text = JSON.stringify(answer.output)
      if (code !== 100) expect(text).to.include('l2wfail')
      for (const word of words) expect(text).to.include(word)
      expect(await a.run(['ip', '-br', 'link', 'show'])).to.not.include('eth1')
      expect(await listLeases()).to.deep.equal([])
    })

  it('one that fails for a newer sandbox costs the older one nothing', async () => {
    const { node, a, b } = place()
    await writePlugin('l2wfail', 'exit 1')
    await add(a, 'c1', CONFIG)
    await add(b, 'c2', CONFIG)
    await using newer = await newLabNetns('newer')
    const call = { ...toCall('ADD', newer, 'c3'), args: toCall('ADD', a, 'c1').args ?? '' }
    expect((await node.call(hostLocal('l2wfail'), call)).output).to.include({ code: 110 })
    for (const netns of [a, b])
      expect(await netns.run(['ip', '-br', 'link', 'show', 'dev', 'eth1'])).to.include('LOWER_UP')
    await del(a, 'c1', CONFIG)
    await del(b, 'c2', CONFIG)
  })

  describe('that take their time', () => {
    const waiting = `${HOST_LOCAL} >FOLDER/result; touch FOLDER/asked; while [ ! -e FOLDER/go ]; do sleep 0.05; done; cat FOLDER/result; exit 0`
    beforeEach(async () => {
      const { folder } = place()
      await writePlugin('l2wslow', waiting.replaceAll('FOLDER', folder))
    })
    afterEach(async () => {
      const { folder } = place()
      for (const file of ['asked', 'go', 'result']) await rm(join(folder, file), { force: true })
    })

    it('have the wire joined, and keep no far end waiting', async () => {
      const { a, b } = place()
      const config = hostLocal('l2wslow')
      const adding = add(a, 'c1', config)
      await expectSoon('the plugin is asked', isAsked)
      await add(b, 'c2', CONFIG)
      expect(await a.run(['ip', '-br', 'link', 'show', 'dev', 'eth1'])).to.include('LOWER_UP')
      await go()
      expect((await adding)['ips']).to.have.length(1)
      await del(a, 'c1', config)
      await del(b, 'c2', CONFIG)
    })

    it('do not outlive the agent: error 11, the address is given back', async () => {
      const { node, a } = place()
      const adding = node.call(hostLocal('l2wslow'), toCall('ADD', a, 'c1'))
      await expectSoon('the plugin is asked', isAsked)
      await node.stopAgent('SIGKILL')
      await go()
      expect((await adding).output).to.include({ code: 11 })
      expect(await listLeases()).to.deep.equal([])
      await node.startAgent()
      expect(await a.run(['ip', '-br', 'link', 'show'])).to.not.include('eth1')
    })

    it('do not keep an agent from ending', async () => {
      const { node, a } = place()
      const adding = node.call(hostLocal('l2wslow'), toCall('ADD', a, 'c1'))
      await expectSoon('the plugin is asked', isAsked)
      await node.stopAgent('SIGTERM')
      expect(await a.run(['ip', '-br', 'link', 'show'])).to.not.include('eth1')
      await go()
      expect((await adding).output).to.include({ code: 11 })
      await node.startAgent()
    })

    it('and whose shim is killed: the devices go at once, the address with the DEL', async () => {
      const { node, a } = place()
      const config = hostLocal('l2wslow')
      const call = toCall('ADD', a, 'c1')
      const shim = spawn(join(ROOT, 'dist/bin/l2wire'), [], {
        env: {
          CNI_COMMAND: 'ADD',
          CNI_CONTAINERID: 'c1',
          CNI_NETNS: a.path,
          CNI_IFNAME: 'eth1',
          CNI_ARGS: call.args ?? '',
          CNI_PATH: call.path ?? '',
          [SOCKET_VARIABLE]: node.socket,
        },
        stdio: ['pipe', 'ignore', 'ignore'],
      })
      shim.stdin.end(JSON.stringify(config))
      await expectSoon('the plugin is asked', isAsked)
      const ended = once(shim, 'exit')
      shim.kill('SIGKILL')
      await ended
      const device = toHostEndName('c1', 'eth1')
      await expectSoon(
        'its devices are gone',
        async () => !(await listTraces()).some((line) => line.includes(device)),
      )
      await expectSoon(
        'its documents are gone',
        async () => (await node.listDocuments()).length === 0,
      )
      expect(await listLeases()).to.deep.equal(['10.0.0.10'])
      await go()
      await del(a, 'c1', config)
    })
  })

  describe('at a DEL', () => {
    it('get it also when the agent is away, which hears of it later', async () => {
      const { node, a } = place()
      const config = hostLocal()
      await add(a, 'c1', config)
      await node.stopAgent('SIGTERM')
      await del(a, 'c1', config)
      expect(await listLeases()).to.deep.equal([])
      expect(await a.run(['ip', '-br', 'link', 'show'])).to.include('eth1')
      await node.startAgent()
    })

    it('get it also when the agent knows nothing of the end', async () => {
      const { a } = place()
      const config = hostLocal()
      await add(a, 'c1', config)
      await del(a, 'c1', CONFIG)
      expect(await listLeases()).to.deep.equal(['10.0.0.10'])
      await del(a, 'c1', config)
    })

    it('that fail do not keep the devices, and are heard', async () => {
      const { node, a, folder } = place()
      await writePlugin('l2wfail', ':')
      const config = hostLocal('l2wfail')
      await add(a, 'c1', config)
      await writeFile(join(folder, 'bin', 'l2wfail'), '#!/bin/sh\nexit 9\n')
      const answer = await node.call(config, toCall('DEL', a, 'c1'))
      expect(answer.output).to.include({ code: 110 })
      expect(answer.output?.['msg']).to.include('DEL of the IPAM plugin "l2wfail"')
      expect(await node.listDocuments()).to.deep.equal([])
      await del(a, 'c1', hostLocal())
    })

    it('that are not there any more keep no pod', async () => {
      const { node, a, folder } = place()
      await writePlugin('l2wgone', ':')
      const config = hostLocal('l2wgone')
      await add(a, 'c1', config)
      await rm(join(folder, 'bin', 'l2wgone'))
      const answer = await node.call(config, toCall('DEL', a, 'c1'))
      expect(answer).to.include({ exitCode: 0 })
      expect(answer.stderr).to.include('l2wgone')
      await del(a, 'c1', hostLocal())
    })
  })
})
