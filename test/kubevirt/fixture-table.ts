// The cable tester by a user's command, in a place of the cluster.
import { expect } from 'chai'

import { FRAME_ROWS } from '../../core/tester/frames.ts'
import type { VerdictColumn } from '../../core/tester/table.ts'
import { IDLE_WIRE, NOTHING_ELSE } from '../../core/tester/verdict.ts'
import type { Place } from '../../lab/kube/place.ts'

const IDLE_SECONDS = 5

/**
 * Every class of frames both ways, and silence then. At a VM's end it is the launcher's link that sends and listens.
 * The ends must have room for the longest row.
 */
export async function expectTable(place: Place, wire: string): Promise<void> {
  // Its exit code says that some were not delivered; which ones is in what it prints.
  const test = `kubectl l2wire test --namespace ${place.namespace} ${wire} --idle ${IDLE_SECONDS} -o json || test $? -eq 3`
  const said = await place.cluster.run(['sh', '-c', test])
  const columns = JSON.parse(said) as readonly VerdictColumn[]
  expect(columns).to.have.length(2)
  const rows = [...FRAME_ROWS.map(({ name }) => name), NOTHING_ELSE, IDLE_WIRE]
  for (const { verdicts, title } of columns) {
    expect(verdicts.map(({ name }) => name)).to.deep.equal(rows)
    const bad = verdicts.filter(({ outcome }) => outcome !== 'delivered')
    expect(bad, title).to.deep.equal([])
  }
}
