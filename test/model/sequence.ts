// Sequences of what happens, as fast-check makes and shrinks them: wishes with numbers in them, which
// become deeds by what the model has when their turn comes. A wish that fits nothing is passed over.
import fc from 'fast-check'

import { LINK_CHANGES, TUNNEL_CHANGES, type Deed } from './deed.ts'
import {
  findWire,
  getNode,
  isSameEnd,
  isSameNic,
  NICS,
  NODES,
  PODS,
  WIRES,
  toKey,
  type Claim,
  type Link,
  type NodeState,
  type Plug,
  type Sandbox,
  type StoredWire,
  type World,
} from './world.ts'

type Call = Extract<Deed, { readonly kind: 'plug' | 'unplug' }>

type CallWish =
  | {
      readonly wish: 'plug'
      readonly pod: string
      readonly ifname: string
      readonly wire: string
      readonly node: string
      /** Into a sandbox that the pod has already, where there is one. */
      readonly isTogether: boolean
    }
  /** The pod is there again under its name, its older sandbox still waits for its DEL. */
  | { readonly wish: 'move'; readonly pick: number; readonly node: string }
  /** A wire with an end to spare gets another pod. */
  | { readonly wish: 'complete'; readonly wire: string; readonly node: string }
  | { readonly wish: 'unplug'; readonly pick: number }
  | MigrationWish

/** A VM moves: its target is made, and goes again while the guest runs where it did, or after it has come. */
type MigrationWish =
  | { readonly wish: 'migrate'; readonly pick: number; readonly node: string }
  | { readonly wish: 'cancel' | 'fail late' | 'finish'; readonly pick: number }

type Wish =
  | CallWish
  | { readonly wish: 'vanish' | 'collect' | 'set'; readonly pick: number }
  | { readonly wish: 'cut over' | 'cut over without the store'; readonly pick: number }
  | { readonly wish: 'delete redirect' | 'delete link' | 'delete claim'; readonly pick: number }
  | { readonly wish: 'kill' | 'bounce' | 'reboot' | 'cut off'; readonly node: string }
  | { readonly wish: 'start' | 'reconnect' | 'cable in'; readonly pick: number }
  | { readonly wish: 'cable out' | 'delete wire'; readonly wire: string }
  | { readonly wish: 'delete tunnel'; readonly pick: number }
  | {
      readonly wish: 'change link' | 'change tunnel'
      readonly pick: number
      readonly change: number
    }
  | {
      readonly wish: 'interrupt'
      readonly call: CallWish
      readonly afterMs: number
    }

/** What happens at once; most often one thing. */
export type Round = readonly Wish[]

const anyNode = fc.constantFrom(...NODES)
const anyWire = fc.constantFrom(...WIRES)
const anyPick = fc.nat(99)

const plugWish = fc.record({
  wish: fc.constant('plug' as const),
  pod: fc.constantFrom(...PODS),
  // Mostly the first one, so that pods meet.
  ifname: fc.constantFrom(NICS[0], NICS[0], NICS[0], NICS[1]),
  wire: fc.constantFrom(WIRES[0], WIRES[0], WIRES[0], WIRES[1]),
  node: anyNode,
  isTogether: fc.boolean(),
})
const moveWish = fc.record({ wish: fc.constant('move' as const), pick: anyPick, node: anyNode })
const toPickWish = <T extends string>(wish: T): fc.Arbitrary<{ wish: T; pick: number }> =>
  fc.record({ wish: fc.constant(wish), pick: anyPick })
const toNodeWish = <T extends string>(wish: T): fc.Arbitrary<{ wish: T; node: string }> =>
  fc.record({ wish: fc.constant(wish), node: anyNode })
const toWireWish = <T extends string>(wish: T): fc.Arbitrary<{ wish: T; wire: string }> =>
  fc.record({ wish: fc.constant(wish), wire: anyWire })

const toChangeWish = <T extends string>(
  wish: T,
): fc.Arbitrary<{ wish: T; pick: number; change: number }> =>
  fc.record({ wish: fc.constant(wish), pick: anyPick, change: anyPick })

const migrateWish = fc.record({
  wish: fc.constant('migrate' as const),
  pick: anyPick,
  node: anyNode,
})
const migrationWish: fc.Arbitrary<MigrationWish> = fc.oneof(
  { weight: 4, arbitrary: migrateWish },
  { weight: 1, arbitrary: toPickWish('cancel') },
  { weight: 1, arbitrary: toPickWish('fail late') },
  { weight: 2, arbitrary: toPickWish('finish') },
)

const completeWish = fc.record({
  wish: fc.constant('complete' as const),
  wire: anyWire,
  node: anyNode,
})
const callWish: fc.Arbitrary<CallWish> = fc.oneof(
  { weight: 4, arbitrary: completeWish },
  { weight: 3, arbitrary: plugWish },
  { weight: 2, arbitrary: moveWish },
  { weight: 3, arbitrary: toPickWish('unplug') },
)
const toInterruptWish = (
  call: fc.Arbitrary<CallWish>,
): fc.Arbitrary<Extract<Wish, { readonly wish: 'interrupt' }>> =>
  fc.record({ wish: fc.constant('interrupt' as const), call, afterMs: fc.nat(60) })

type Table = Readonly<Record<string, readonly [number, fc.Arbitrary<Wish>]>>

function choose(table: Table): fc.Arbitrary<Wish> {
  return fc.oneof(...Object.values(table).map(([weight, arbitrary]) => ({ weight, arbitrary })))
}

/** What may happen at the same moment as another such thing. */
const MEETING = {
  call: [8, callWish],
  vanish: [1, toPickWish('vanish')],
  set: [1, toPickWish('set')],
  'cable out': [1, toWireWish('cable out')],
  interrupt: [1, toInterruptWish(callWish)],
} satisfies Table
const LONE = {
  call: [9, callWish],
  vanish: [2, toPickWish('vanish')],
  collect: [1, toPickWish('collect')],
  set: [3, toPickWish('set')],
  'cable out': [1, toWireWish('cable out')],
  'cable in': [3, toPickWish('cable in')],
  kill: [2, toNodeWish('kill')],
  start: [3, toPickWish('start')],
  bounce: [1, toNodeWish('bounce')],
  reboot: [1, toNodeWish('reboot')],
  interrupt: [2, toInterruptWish(callWish)],
  'delete tunnel': [2, toPickWish('delete tunnel')],
  'delete redirect': [1, toPickWish('delete redirect')],
  'delete link': [1, toPickWish('delete link')],
  'delete claim': [1, toPickWish('delete claim')],
  'delete wire': [1, toWireWish('delete wire')],
  'change link': [3, toChangeWish('change link')],
  'change tunnel': [4, toChangeWish('change tunnel')],
} satisfies Table

/** Where a runtime says of a sandbox that it is a migration's target. */
const MIGRATIONS = {
  migration: [9, migrationWish],
  'cut over': [5, toPickWish('cut over')],
  'interrupted migration': [1, toInterruptWish(migrationWish)],
} satisfies Table

/** Where all nodes can lose it at once. */
const WITHOUT_STORE = {
  'cut over without the store': [3, toPickWish('cut over without the store')],
} satisfies Table

/** Where nodes can lose their store. */
const CUT = {
  'cut off': [3, toNodeWish('cut off')],
  reconnect: [4, toPickWish('reconnect')],
} satisfies Table

const ROUNDS_MAX = 15

export interface SequenceOptions {
  readonly canBeCutOff: boolean
  readonly canMigrate: boolean
}

function anyRound({ canBeCutOff, canMigrate }: SequenceOptions): fc.Arbitrary<Round> {
  const migrations: Table = canMigrate ? MIGRATIONS : {}
  const loneWish = choose({
    ...LONE,
    ...migrations,
    ...(canMigrate ? WITHOUT_STORE : {}),
    ...(canBeCutOff ? CUT : {}),
  })
  const meetingWish = choose({ ...MEETING, ...migrations })
  return fc.oneof(
    { weight: 4, arbitrary: fc.tuple(loneWish) },
    { weight: 1, arbitrary: fc.array(meetingWish, { minLength: 2, maxLength: 3 }) },
  )
}

export function newSequences(options: SequenceOptions): fc.Arbitrary<readonly Round[]> {
  return fc.array(anyRound(options), { minLength: 1, maxLength: ROUNDS_MAX, size: 'max' })
}

/** How much may happen once a migration is under way. */
const MIGRATING_ROUNDS_MAX = 10

/** A wire has both its ends, and one of them, or each, begins to migrate; then anything happens. */
export function newMigrations(): fc.Arbitrary<readonly Round[]> {
  const complete = fc.record({
    wish: fc.constant('complete' as const),
    wire: fc.constant(WIRES[0]),
    node: anyNode,
  })
  const rounds = anyRound({ canBeCutOff: false, canMigrate: true })
  return fc
    .tuple(
      fc.tuple(complete),
      fc.tuple(complete),
      fc.array(migrateWish, { minLength: 1, maxLength: 2 }),
      fc.array(rounds, { minLength: 1, maxLength: MIGRATING_ROUNDS_MAX, size: 'max' }),
    )
    .map(([first, second, migrating, others]) => [first, second, migrating, ...others])
}

/** Gives each sandbox a name; the lab and the model use the same. */
export type NewSandboxName = () => string

export function toDeeds(world: World, round: Round, newName: NewSandboxName): readonly Deed[] {
  const deeds: Deed[] = []
  for (const wish of round) {
    const deed = toDeed(world, wish, newName)
    if (deed !== undefined && deeds.every((other) => mayMeet(deed, other))) deeds.push(deed)
  }
  return deeds
}

/** Two things at once are about two interfaces, and no call meets an agent that is killed for another's sake. */
function mayMeet(a: Deed, b: Deed): boolean {
  const isCutOff = [a, b].some(({ kind }) => kind === 'interrupt')
  if (isCutOff && toPlace(a) === toPlace(b)) return false
  return toSubject(a) !== toSubject(b)
}

function toSubject(deed: Deed): string {
  if (deed.kind === 'interrupt') return toSubject(deed.deed)
  if ('plug' in deed) return deed.plug.sandbox
  if ('sandbox' in deed) return deed.sandbox
  return JSON.stringify(deed)
}

function toPlace(deed: Deed): string | undefined {
  if (deed.kind === 'interrupt') return deed.deed.plug.node
  if ('plug' in deed) return deed.plug.node
  return 'node' in deed ? deed.node : undefined
}

function toDeed(world: World, wish: Wish, newName: NewSandboxName): Deed | undefined {
  switch (wish.wish) {
    case 'plug':
    case 'complete':
    case 'move':
    case 'unplug':
    case 'migrate':
    case 'cancel':
    case 'fail late':
    case 'finish':
      return toCall(world, wish, newName)
    case 'cut over': {
      const plug = pick(listSpeakingTargets(world), wish.pick)
      return plug && { kind: 'cut over', plug }
    }
    case 'cut over without the store': {
      const pairs = listSpeakingTargets(world).flatMap((plug) => {
        const farWithoutStore = findFarEnd(world, plug)
        return farWithoutStore === undefined ? [] : [{ plug, farWithoutStore }]
      })
      const pair = pick(pairs, wish.pick)
      return pair && { kind: 'cut over', ...pair }
    }
    case 'vanish': {
      const sandbox = pick(world.sandboxes, wish.pick)
      return sandbox && { kind: 'vanish', sandbox: sandbox.name, node: sandbox.node }
    }
    case 'collect': {
      const served = world.plugs.filter(({ node }) => isWell(getNode(world, node)))
      const plug = pick(served, wish.pick)
      return plug && { kind: 'collect', plug }
    }
    case 'set': {
      const links = world.nodes.flatMap((node) => node.links)
      const link = pick(links, wish.pick)
      return link && { kind: 'set', plug: toPlug(link), isUp: !link.isPodEndUp }
    }
    case 'kill':
    case 'bounce':
    case 'cut off':
      return isWell(getNode(world, wish.node)) ? { kind: wish.wish, node: wish.node } : undefined
    case 'reconnect': {
      const cutOff = pick(
        world.nodes.filter(({ isConnected }) => !isConnected),
        wish.pick,
      )
      return cutOff && { kind: 'reconnect', node: cutOff.name }
    }
    case 'start': {
      const stopped = pick(
        world.nodes.filter(({ isRunning }) => !isRunning),
        wish.pick,
      )
      return stopped && { kind: 'start', node: stopped.name }
    }
    case 'reboot':
      return getNode(world, wish.node).isConnected ? { kind: 'reboot', node: wish.node } : undefined
    case 'cable out':
      return (findWire(world, wish.wire)?.isUnplugged ?? false)
        ? undefined
        : { kind: 'cable', wire: wish.wire, isUnplugged: true }
    case 'cable in': {
      const wire = pick(
        world.wires.filter(({ isUnplugged }) => isUnplugged),
        wish.pick,
      )
      return wire && { kind: 'cable', wire: wire.name, isUnplugged: false }
    }
    case 'interrupt': {
      const deed = toCall(world, wish.call, newName)
      return deed && isWell(getNode(world, deed.plug.node))
        ? { kind: 'interrupt', deed, afterMs: wish.afterMs }
        : undefined
    }
    case 'delete tunnel': {
      // Deleted while the store is away its permission waits for the look at everything, minutes later.
      const tunnels = world.nodes
        .filter(({ isConnected }) => isConnected)
        .flatMap(({ name: node, tunnels }) => tunnels.map(({ wire }) => ({ node, wire })))
      const tunnel = pick(tunnels, wish.pick)
      return tunnel && { kind: 'delete tunnel', ...tunnel }
    }
    case 'change tunnel': {
      const { wish: kind, pick: at, change: which } = wish
      const tunnels = world.nodes
        .filter(isWell)
        .flatMap(({ name: node, tunnels }) => tunnels.map(({ wire }) => ({ node, wire })))
      const tunnel = pick(tunnels, at)
      const change = pick(TUNNEL_CHANGES, which)
      return tunnel && change && { kind, change, ...tunnel }
    }
    case 'change link': {
      const { wish: kind, pick: at, change: which } = wish
      const link = pick(
        world.nodes.filter(isWell).flatMap((node) => node.links),
        at,
      )
      const change = pick(LINK_CHANGES, which)
      return link && change && { kind, change, plug: toPlug(link) }
    }
    case 'delete link': {
      const link = pick(
        world.nodes.flatMap((node) => node.links),
        wish.pick,
      )
      return link && { kind: 'delete link', plug: toPlug(link) }
    }
    case 'delete redirect': {
      const joined = world.nodes
        .flatMap((node) => node.links)
        .filter(({ target }) => target !== undefined)
      const link = pick(joined, wish.pick)
      return link && { kind: 'delete redirect', plug: toPlug(link) }
    }
    case 'delete claim': {
      const claims = listClaims(world, ({ ends, standbys }) => [...ends, ...standbys])
      const plug = pick(claims, wish.pick)
      return plug && { kind: 'delete claim', plug }
    }
    case 'delete wire': {
      // With the agent of a tunnel away the VNI waits for that look, too.
      const tunnelNodes = findWire(world, wish.wire)?.tunnelNodes
      return tunnelNodes?.every((name) => isWell(getNode(world, name)))
        ? { kind: 'delete wire', wire: wish.wire }
        : undefined
    }
  }
}

/** Of migrations. A guest speaks once its NIC is up. */
function listSpeakingTargets(world: World): readonly Plug[] {
  const targets = listClaims(world, ({ standbys }) => standbys.filter((one) => one.isTarget))
  return targets.filter((target) => listSpeaking(world).some((link) => isSameNic(link, target)))
}

function listSpeaking(world: World): readonly Link[] {
  const links = world.nodes.filter(isWell).flatMap((node) => node.links)
  return links.filter(({ isPodEndUp }) => isPodEndUp)
}

/**
 * Whom the target's guest speaks with once it has come: whoever speaks with its VM now. Where both ends migrate at once
 * the way of one alone is ready before (docs/migration.md).
 */
function findFarEnd(world: World, target: Plug): Plug | undefined {
  const standbys = findWire(world, target.wire)?.standbys ?? []
  if (standbys.filter(({ isTarget }) => isTarget).length > 1) return undefined
  const far = listClaims(world, (wire) =>
    wire.isUnplugged ? [] : wire.ends.filter((end) => !isSameEnd(end, target)),
  ).find(({ wire }) => wire === target.wire)
  const isSpeaking = listSpeaking(world).some((link) => link.isUp && far && isSameNic(link, far))
  return isSpeaking ? far : undefined
}

/** An agent starts only where it reaches its store. */
function isWell({ isRunning, isConnected }: NodeState): boolean {
  return isRunning && isConnected
}

function toCall(world: World, wish: CallWish, newName: NewSandboxName): Call | undefined {
  if (wish.wish === 'plug') {
    const { pod, ifname, wire, node } = wish
    const found = wish.isTogether ? findSandboxFor(world, wish) : undefined
    return { kind: 'plug', plug: { sandbox: found?.name ?? newName(), ifname, pod, wire, node } }
  }
  if (wish.wish === 'complete') {
    const { wire, node } = wish
    const ends = findWire(world, wire)?.ends ?? []
    const pod = PODS.find((name) => !ends.some((end) => end.pod === name))
    return pod === undefined || ends.length > 1
      ? undefined
      : { kind: 'plug', plug: { sandbox: newName(), ifname: NICS[0], pod, wire, node } }
  }
  const plug = pick(listCallable(world, wish), wish.pick)
  if (plug === undefined) return undefined
  if (wish.wish !== 'move' && wish.wish !== 'migrate') return { kind: 'unplug', plug }
  const moved = { ...plug, node: wish.node, sandbox: newName() }
  return wish.wish === 'migrate'
    ? { kind: 'plug', plug: moved, isTarget: true }
    : { kind: 'plug', plug: moved }
}

/** The interfaces that such a call may be about. */
function listCallable(world: World, { wish }: CallWish): readonly Plug[] {
  const listPlugs = (choose: ChooseClaims): readonly Plug[] => {
    const claims = new Set(listClaims(world, choose).map(toKey))
    return world.plugs.filter((plug) => claims.has(toKey(plug)))
  }
  switch (wish) {
    case 'plug':
    case 'complete':
    case 'move':
    case 'unplug':
      return world.plugs
    case 'migrate':
      return listPlugs(({ ends }) => ends)
    case 'cancel':
      return listPlugs(({ standbys }) => standbys.filter(({ isTarget }) => isTarget))
    case 'fail late':
      return listPlugs(({ ends, standbys }) =>
        ends.filter((end) => standbys.some((one) => !one.isTarget && isSameEnd(one, end))),
      )
    case 'finish':
      return listPlugs(({ standbys }) => standbys.filter(({ isTarget }) => !isTarget))
  }
}

type ChooseClaims = (wire: StoredWire) => readonly Claim[]

function listClaims(world: World, choose: (wire: StoredWire) => readonly Claim[]): readonly Plug[] {
  return world.wires.flatMap((wire) =>
    choose(wire).map(({ sandbox, ifname, pod, node }) => ({
      sandbox,
      ifname,
      pod,
      node,
      wire: wire.name,
    })),
  )
}

/** A sandbox of the pod on the node that has not got this interface yet. */
function findSandboxFor(
  world: World,
  { pod, node, ifname }: { readonly pod: string; readonly node: string; readonly ifname: string },
): Sandbox | undefined {
  const taken = new Set(world.plugs.map(toKey))
  return world.sandboxes.find(
    (one) =>
      one.pod === pod && one.node === node && !taken.has(toKey({ sandbox: one.name, ifname })),
  )
}

function toPlug({ sandbox, ifname, pod, wire, node }: Plug): Plug {
  return { sandbox, ifname, pod, wire, node }
}

function pick<T>(list: readonly T[], at: number): T | undefined {
  return list[at % list.length]
}
