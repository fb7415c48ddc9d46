// What a report of a VM's move must say.
import { expect } from 'chai'

import { FRAMES_PER_SECOND, type MigrationReport } from '../lab/migration.ts'
import { A_WHILE } from '../lab/migration-move.ts'

/**
 * What the far end may send into nothing before the guest stops and after it runs again. Of a machine at rest that is
 * 30 frames; on a busy one whoever is to act gets no CPU for as long. A wire that follows the pod and not the guest
 * loses more than twice this.
 */
const LATE_FRAMES = FRAMES_PER_SECOND

function render({ toGuest, fromGuest, pauseMs }: MigrationReport): string {
  return (
    `pause ${pauseMs.toFixed(0)} ms; to the guest ${toGuest.sent} sent, ${toGuest.lost} lost, ` +
    `${toGuest.lostBefore} of them before the pause, ${toGuest.lostAfter} after, ` +
    `longest gap ${toGuest.longestGapMs.toFixed(0)} ms; ` +
    `from the guest ${fromGuest.sent} sent, ${fromGuest.lost} lost`
  )
}

/** How many queues its NIC has: the stream is no flow, so that of several its frames overtake each other at any time. */
function expectInOrder(report: MigrationReport, queues: number): void {
  for (const [way, { doubled, reordered, overrun, sent }] of Object.entries({
    'to the guest': report.toGuest,
    'from the guest': report.fromGuest,
  })) {
    expect(overrun, `${way}: the receiver had room for all`).to.equal(0)
    expect(sent, `${way}: sent`).to.be.greaterThan(A_WHILE)
    expect(doubled, `${way}: twice`).to.equal(0)
    if (queues === 1) expect(reordered, `${way}: out of order`).to.equal(0)
  }
  expect(report.fromGuest.lost, `the guest's own frames: ${render(report)}`).to.equal(0)
}

export function expectMoved(report: MigrationReport, queues = 1): void {
  process.stdout.write(`      ${render(report)}\n`)
  expectInOrder(report, queues)
  expect(report.pauseMs, 'the guest stopped on its way').to.be.greaterThan(0)
  const { lostBefore, lostAfter } = report.toGuest
  expect(lostBefore + lostAfter, render(report)).to.be.at.most(LATE_FRAMES)
}

export function expectUntouched(report: MigrationReport): void {
  process.stdout.write(`      ${render(report)}\n`)
  expectInOrder(report, 1)
  expect(report.toGuest.lost, render(report)).to.equal(0)
}
