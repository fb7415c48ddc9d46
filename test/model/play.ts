// Plays a sequence on the model and on the lab, and compares the two as text after each round, once
// the lab has come to rest. Where the order of things that met is open, any of them will do.
import { setTimeout as sleep } from 'node:timers/promises'

import { describeDeed, tryDeed, type Answer, type Deed } from './deed.ts'
import type { ModelLab } from './lab.ts'
import { listFlows } from './flow.ts'
import { draw } from './picture.ts'
import { toDeeds, type Round } from './sequence.ts'
import { settle } from './settle.ts'
import { newWorld, NODES, toKey, type World } from './world.ts'

const POLL_MS = 40

/** Throws an error that tells the whole story when model and lab disagree. */
export async function play(lab: ModelLab, rounds: readonly Round[]): Promise<void> {
  const story: string[] = []
  let worlds: readonly World[] = [newWorld()]
  let made = 0
  const newName = (): string => {
    made += 1
    return `s${made}`
  }
  const step = async (deeds: readonly Deed[]): Promise<void> => {
    if (deeds.length === 0) return
    story.push(deeds.map(describeDeed).join('  AND AT ONCE  '))
    const answers = await Promise.all(deeds.map(async (deed) => lab.perform(deed)))
    const said = answers.filter((answer) => answer !== undefined)
    if (said.length > 0) story.push(`    answers: ${said.join(', ')}`)
    worlds = foresee(worlds, deeds, answers)
    if (worlds.length === 0) throw tell(lab, story, 'This answer is not as the model has it.')
    worlds = await waitForOne(lab, worlds, story)
    for (const { from, to } of worlds.slice(0, 1).flatMap(listFlows)) {
      const heard = (await lab.send(from, to !== 'nobody')).join(', ') || 'nobody'
      if (heard !== to)
        throw tell(lab, story, `A frame of ${toKey(from)} is heard by ${heard}, expected ${to}.`)
    }
  }
  for (const round of rounds) {
    const [world] = worlds
    if (world !== undefined) await step(toDeeds(world, round, newName))
  }
  story.push('and then all is put in order:')
  for (const deed of listPuttingInOrder(worlds[0])) await step([deed])
}

/** Nothing may be left when every agent runs, every cable is in and every interface had its DEL. */
function listPuttingInOrder(world: World | undefined): readonly Deed[] {
  if (world === undefined) return []
  const stopped = world.nodes.filter(({ isRunning }) => !isRunning)
  const cutOff = world.nodes.filter(({ isConnected }) => !isConnected)
  return [
    ...cutOff.map(({ name }): Deed => ({ kind: 'reconnect', node: name })),
    ...stopped.map(({ name }): Deed => ({ kind: 'start', node: name })),
    ...world.wires
      .filter(({ isUnplugged }) => isUnplugged)
      .map(({ name }): Deed => ({ kind: 'cable', wire: name, isUnplugged: false })),
    ...world.plugs.map((plug): Deed => ({ kind: 'unplug', plug })),
  ]
}

/** All worlds that these answers allow: in any order, each seen by everybody before the next or not. */
function foresee(
  worlds: readonly World[],
  deeds: readonly Deed[],
  answers: readonly Answer[],
): readonly World[] {
  const numbered = deeds.map((deed, at) => ({ deed, answer: answers[at] }))
  const ends = worlds.flatMap((world) =>
    listOrders(numbered).flatMap((order) =>
      [true, false].flatMap((isSeenAtOnce) => {
        let now: readonly World[] = [world]
        for (const { deed, answer } of order)
          now = now
            .flatMap((one) => tryDeed(one, deed))
            .filter((outcome) => outcome.answer === answer)
            .flatMap(({ world }) => (isSeenAtOnce ? listRests(world) : [world]))
        return now.flatMap(listRests)
      }),
    ),
  )
  return unite(ends)
}

/** Where it depends on who looks first, all that may come of it. */
function listRests(world: World): readonly World[] {
  return unite(listOrders(NODES).map((order) => settle(world, order)))
}

function unite(worlds: readonly World[]): readonly World[] {
  return [...new Map(worlds.map((world) => [JSON.stringify(world), world])).values()]
}

function listOrders<T>(list: readonly T[]): readonly (readonly T[])[] {
  if (list.length < 2) return [list]
  return list.flatMap((first) =>
    listOrders(list.filter((one) => one !== first)).map((rest) => [first, ...rest]),
  )
}

/** Those worlds that the lab has come to, twice in a row. */
async function waitForOne(
  lab: ModelLab,
  worlds: readonly World[],
  story: readonly string[],
): Promise<readonly World[]> {
  const expected = worlds.map((world) => ({ world, text: draw(world).join('\n') }))
  const deadline = Date.now() + lab.restMs
  let before = ''
  for (;;) {
    // What is looked at may go in the same moment.
    const text = await lab.look().then(
      (lines) => lines.join('\n'),
      (error: unknown) => String(error),
    )
    const found = expected.filter((one) => one.text === text).map(({ world }) => world)
    if (found.length > 0 && text === before) return found
    if (Date.now() > deadline)
      throw tell(
        lab,
        story,
        compare(
          lab.restMs,
          expected.map((one) => one.text),
          text,
        ),
      )
    before = text
    await sleep(POLL_MS)
  }
}

/** The lines that differ from the nearest of what was expected. */
function compare(restMs: number, expected: readonly string[], text: string): string {
  const is = text.split('\n')
  const all = expected.map((one) => {
    const should = one.split('\n')
    const missing = should.filter((line) => !is.includes(line)).map((line) => `  expected  ${line}`)
    const extra = is.filter((line) => !should.includes(line)).map((line) => `  but found ${line}`)
    return [...missing, ...extra]
  })
  const [nearest = []] = all.sort((a, b) => a.length - b.length)
  const same = is.map((line) => `    ${line}`)
  const others = expected.length > 1 ? ` (the nearest of ${expected.length} that are allowed)` : ''
  return [
    `Not as the model has it within ${restMs / 1000} seconds${others}:`,
    ...nearest,
    'All that was found:',
    ...same,
  ].join('\n')
}

function tell(lab: ModelLab, story: readonly string[], what: string): Error {
  const numbered = story.map((line) => (line.startsWith(' ') ? line : `  - ${line}`))
  return new Error(['What happened:', ...numbered, what, lab.readLogs()].join('\n'))
}
