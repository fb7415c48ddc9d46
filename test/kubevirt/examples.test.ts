// Every folder of examples/ applied as its README says, in a namespace of its own, and checked by its own check.sh; the next
// one is applied meanwhile, so that its guests boot. "lldp" is README's quick start: quick-start.test.ts.
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'

import { EXAMPLES } from '../../lab/example.ts'
import { openKubeCluster, type KubeCluster } from '../../lab/kube/cluster.ts'
import { ROOT } from '../../lab/manifests.ts'
import { newPlace, type Place } from '../../lab/kube/place.ts'
import { listYes, newShell, readPromises, removeExample, type Shell } from './fixture-shell.ts'

const CLASS = 'class-of-30'
const OTHERS = [CLASS, 'lldp']
const FOLDERS = readdirSync(join(ROOT, EXAMPLES), { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && !OTHERS.includes(entry.name))
  .map(({ name }) => name)
/** What is not there at once: guests boot and install packages. */
const PATIENCE = { L2WIRE_PATIENCE: '900' }

interface Applied {
  readonly place: Place
  readonly shell: Shell
}

/** Those without VMs first: guests of the first one with VMs boot meanwhile. */
const hasVm = (folder: string): boolean =>
  readdirSync(join(ROOT, EXAMPLES, folder)).some((file) => file.startsWith('vm'))
const ORDER = [...FOLDERS].sort((a, b) => Number(hasVm(a)) - Number(hasVm(b)))

/** What README says beyond its check. */
const MORE: Readonly<Record<string, (applied: Applied) => Promise<void>>> = {
  'vm-and-container': async ({ place, shell }) => {
    await shell.run('kubectl wait vm/r1 pod/h1 --for condition=Ready --timeout=10m')
    await place.waitUntilConnected('r1-h1')
    // It fails where a class of frames is lost. The longest ones are for cables with a larger "mtu".
    // The container's own IPv6 speaks on it, too.
    const table = await place.l2wire('test', 'r1-h1', '--noisy')
    for (const row of ['01-80-C2-00-00-0E LLDP', '60 bytes'])
      expect(table).to.match(new RegExp(`^${row} +delivered +delivered$`, 'm'))
  },
  'mgmt-and-wire': async ({ shell }) => {
    // Its command has a terminal to ask for the password.
    const askpass = 'printf "#!/bin/sh\\necho l2wire\\n" >/tmp/ask && chmod +x /tmp/ask'
    const ssh = 'ssh -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null debian@r1-mgmt'
    const line = `${askpass} && SSH_ASKPASS=/tmp/ask SSH_ASKPASS_REQUIRE=force ${ssh} hostname`
    expect(await shell.run(`kubectl exec h1 -- sh -c '${line}'`)).to.match(/^r1$/m)
  },
}

async function apply(folder: string): Promise<Applied> {
  const place = await newPlace()
  const shell = await newShell(place.cluster, place.namespace)
  await shell.run(`kubectl apply -f ${EXAMPLES}/${folder}/`)
  return { place, shell }
}

describe('examples', function () {
  this.timeout(25 * 60_000)
  const applied = new Map<string, Promise<Applied>>()
  const ended: Promise<void>[] = []

  const ensureApplied = async (folder: string): Promise<Applied> => {
    const found = applied.get(folder) ?? apply(folder)
    applied.set(folder, found)
    return found
  }
  const remove = async (folder: string): Promise<void> => {
    const { place, shell } = await ensureApplied(folder)
    applied.delete(folder)
    await removeExample(shell, folder)
    await shell[Symbol.asyncDispose]()
    await place[Symbol.asyncDispose]()
  }

  after(async () => {
    ended.push(...[...applied.keys()].map(remove))
    await Promise.all(ended)
  })

  for (const [index, folder] of ORDER.entries())
    it(`${folder} does what its README says`, async () => {
      const example = await ensureApplied(folder)
      const next = ORDER[index + 1]
      // Whoever wants it is told of a failure.
      if (next !== undefined) ensureApplied(next).catch(() => undefined)
      const { shell } = example
      if (existsSync(join(ROOT, EXAMPLES, folder, 'check.sh'))) {
        const said = await shell.run(`${EXAMPLES}/${folder}/check.sh`, PATIENCE)
        expect(listYes(said)).to.deep.equal(await readPromises(folder))
      }
      await MORE[folder]?.(example)
      const warnings = 'kubectl get events --field-selector type=Warning,source=l2wire-agent'
      expect(await shell.run(`${warnings} -o name`)).to.equal('')
      const removed = remove(folder)
      removed.catch(() => undefined)
      ended.push(removed)
    })
})

describe(`${EXAMPLES}/${CLASS}`, function () {
  this.timeout(15 * 60_000)
  const STUDENTS = ['student-01', 'student-02', 'student-03']
  const shells: Shell[] = []
  let cluster: KubeCluster
  const getShell = (index: number): Shell => {
    const shell = shells[index]
    if (shell === undefined) throw new Error(`No shell of student ${index}`)
    return shell
  }

  before(async () => {
    cluster = await openKubeCluster()
    for (const student of STUDENTS) shells.push(await newShell(cluster, student))
  })
  after(async () => {
    await getShell(0).run(`${EXAMPLES}/${CLASS}/class.sh delete ${STUDENTS.length}`)
    const gone = STUDENTS.map((student) => `namespace/${student}`).join(' ')
    await getShell(0).run(`kubectl wait --for=delete --timeout=5m ${gone}`)
    for (const shell of shells) await shell[Symbol.asyncDispose]()
  })

  it('three labs of one folder, one in a namespace that enforces "baseline", pass their checks', async () => {
    const label = 'pod-security.kubernetes.io/enforce=baseline'
    await getShell(2).run(`kubectl create namespace ${STUDENTS[2]}`)
    await getShell(2).run(`kubectl label namespace ${STUDENTS[2]} ${label}`)
    await getShell(0).run(`${EXAMPLES}/${CLASS}/class.sh apply ${STUDENTS.length}`)
    for (const shell of shells) {
      const said = await shell.run(`${EXAMPLES}/${CLASS}/check.sh`, PATIENCE)
      expect(listYes(said)).to.deep.equal(await readPromises(CLASS))
    }
  })

  it('whose cable is unplugged notices, and nobody else', async () => {
    const check = `${EXAMPLES}/${CLASS}/check.sh`
    await getShell(1).run('kubectl l2wire unplug pc1-pc2')
    const error = await getShell(1)
      .run(check, { L2WIRE_PATIENCE: '0' })
      .catch((reason: unknown) => reason)
    expect(String(error)).to.include('NO   pc1 reaches pc2')
    for (const other of [0, 2]) await getShell(other).run(check)
  })
})
