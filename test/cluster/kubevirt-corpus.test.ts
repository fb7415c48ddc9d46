// Every document of test/fixtures/domain as KubeVirt's own types have it: its code writes the document
// that the sidecars get, and what they answer reads as the golden document does.
import { readdirSync, readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect } from 'chai'
import { afterEach, describe, it } from 'mocha'

import { ROOT } from '../../lab/manifests.ts'
import type { LabNetns } from '../../lab/netns.ts'
import { leavesNothing } from '../nothing-left.ts'
import {
  COLLECT_MS,
  newLaunchedPod,
  type Defined,
  type LaunchedPod,
} from './fixture-kubevirt-hooks.ts'

const FOLDER = join(ROOT, 'test/fixtures/domain')
// Go reads no entities of a document's own, so KubeVirt never has such a document.
const NAMES = readdirSync(FOLDER)
  .filter((file) => file.endsWith('.in.xml'))
  .filter((file) => !readFileSync(join(FOLDER, file), 'utf8').includes('<!ENTITY'))
  .map((file) => file.replace('.in.xml', ''))

interface LinkFacts {
  readonly mtuBytes: number
  readonly address: string
  /** Undefined for what is no tap. */
  readonly isMultiQueue?: boolean
}

const readText = async (file: string): Promise<string> => readFile(join(FOLDER, file), 'utf8')

const readJson = async (file: string): Promise<Readonly<Record<string, unknown>>> =>
  JSON.parse(await readText(file)) as Record<string, unknown>

async function addLink({ run }: LabNetns, name: string, facts: LinkFacts): Promise<void> {
  const { isMultiQueue, mtuBytes, address } = facts
  const mode = isMultiQueue === true ? ['mode', 'tap', 'multi_queue'] : ['mode', 'tap']
  await run(
    isMultiQueue === undefined
      ? ['ip', 'link', 'add', 'name', name, 'type', 'veth']
      : ['ip', 'tuntap', 'add', 'dev', name, ...mode],
  )
  await run(['ip', 'link', 'set', 'dev', name, 'mtu', String(mtuBytes), 'address', address])
}

describe("Domains of the corpus in KubeVirt's types", function () {
  this.timeout(90_000)
  let pod: LaunchedPod
  const links: string[] = []

  leavesNothing(async (made) => {
    pod = made.use(await newLaunchedPod())
    await pod.launcher.newSidecar({ binding: 'l2wire', index: 0 })
    await pod.launcher.newSidecar({ binding: 'l2wire-macvtap', index: 1 })
    await pod.launcher.play({ do: 'collect', sidecars: 2, timeoutMs: COLLECT_MS })
  })

  afterEach(async () => {
    for (const link of links.splice(0)) await pod.netns.run(['ip', 'link', 'del', 'dev', link])
  })

  for (const name of NAMES) {
    it(name, async () => {
      const facts = (await readJson(`${name}.links.json`)) as Record<string, LinkFacts>
      for (const [link, its] of Object.entries(facts)) {
        await addLink(pod.netns, link, its)
        links.push(link)
      }
      const vmi = await readJson(`${name}.vmi.json`)
      const define = async (domain: string): Promise<Defined> => {
        const answer = await pod.launcher.play<Defined>({ do: 'define', vmi, domain })
        if (answer.result === undefined) throw new Error(JSON.stringify(answer))
        return answer.result
      }
      const answered = await define(await readText(`${name}.in.xml`))
      const again = await define(answered.xml)
      const golden = await define(await readText(`${name}.out.xml`))
      expect(again.before).to.eql(golden.before)
      // Not compared to what was given: libvirtxml spells a PCI address in its own way, and the VMI in its.
      expect((await define(again.xml)).xml).to.equal(again.xml)
    })
  }
})
