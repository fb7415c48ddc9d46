// README's quick start, line by line as README has it, from an installation that is there already to a wire that is
// unplugged and plugged in again.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'

import { openKubeCluster, type KubeCluster } from '../../lab/kube/cluster.ts'
import { getMapping, ROOT } from '../../lab/manifests.ts'
import { listYes, newShell, readPromises, removeExample, type Shell } from './fixture-shell.ts'

const README = readFileSync(join(ROOT, 'README.md'), 'utf8')
const EXAMPLE = 'examples/lldp/'
const CHECK = 'L2WIRE_PATIENCE=900 examples/lldp/check.sh'

/** The block of indented lines under "Quick start" that has this one. */
function getBlock(line: string): readonly string[] {
  const [, section = ''] = /^## Quick start\n([^]*?)^## /m.exec(README) ?? []
  const blocks = [...section.matchAll(/(?:^ {4}\S.*\n)+/gm)].map(([text]) =>
    text
      .trimEnd()
      .split('\n')
      .map((each) => each.trim()),
  )
  const found = blocks.find((block) => block.includes(line))
  if (found === undefined) throw new Error(`No block of README's quick start has "${line}"`)
  return found
}

const START = getBlock(`kubectl apply -f ${EXAMPLE}`)
const INSTALL = START.slice(0, START.indexOf(`kubectl apply -f ${EXAMPLE}`))
const USE = getBlock('kubectl get wires')

/** What a line prints, and the carrier that h1's end has after it. */
const SAYS: Readonly<Record<string, { readonly output: RegExp; readonly carrier?: string }>> = {
  'kubectl get wires': { output: /^r1-h1 .*pod\/h1.*/m },
  'kubectl l2wire describe r1-h1': { output: /r1[^]*h1/, carrier: '1' },
  'kubectl l2wire unplug r1-h1': { output: /r1-h1 unplugged/, carrier: '0' },
  'kubectl l2wire plug r1-h1': { output: /r1-h1 plugged in/, carrier: '1' },
  'kubectl l2wire doctor': { output: /Looked at/ },
}

describe("README's quick start", function () {
  this.timeout(25 * 60_000)
  let cluster: KubeCluster
  let shell: Shell

  before(async () => {
    cluster = await openKubeCluster()
    shell = await newShell(cluster, 'default')
  })
  after(async () => {
    await removeExample(shell, 'lldp')
    await shell[Symbol.asyncDispose]()
  })

  /** What a line for an installation that is there must leave as it is. */
  const readInstalled = async (): Promise<readonly unknown[]> => {
    const daemonSet = await cluster.getObject('daemonset', 'l2wire-agent', 'l2wire')
    const kubevirt = await cluster.getObject('kubevirt', 'kubevirt', 'kubevirt')
    return [getMapping(daemonSet, 'metadata')['generation'], kubevirt['spec']]
  }
  const readCarrier = async (): Promise<string> =>
    (await shell.run('kubectl exec h1 -- cat /sys/class/net/eth1/carrier')).trim()

  it('installs in three lines, and does what this test expects of it after', () => {
    expect(INSTALL).to.have.length(3)
    expect([...START, ...USE]).to.include.members([CHECK, ...Object.keys(SAYS)])
  })

  for (const line of INSTALL)
    it(`${line}: changes nothing where l2wire is installed`, async () => {
      const installed = await readInstalled()
      await shell.run(line)
      expect(await readInstalled()).to.deep.equal(installed)
    })

  for (const line of [...START.slice(INSTALL.length), ...USE])
    it(line, async () => {
      const { output = /./, carrier } = SAYS[line] ?? {}
      const said = await shell.run(line)
      expect(said, said).to.match(output)
      if (line === CHECK) expect(listYes(said)).to.deep.equal(await readPromises('lldp'))
      if (carrier !== undefined) expect(await readCarrier(), 'carrier of h1').to.equal(carrier)
    })
})
