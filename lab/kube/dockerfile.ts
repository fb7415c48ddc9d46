// Parses Dockerfiles, as far as ours need it: what a stage starts from, does and leaves. This keeps images the
// same with and without a container engine.
import { DecodeError } from '../../core/errors.ts'
import type { ImageStart } from './docker-archive.ts'

export interface Instruction {
  readonly verb: string
  readonly text: string
}

export interface Stage {
  readonly name: string
  /** "scratch", an image by the argument that names it, or an earlier stage. */
  readonly base: string
  readonly instructions: readonly Instruction[]
}

export interface Dockerfile {
  /** Of the ARGs in front of the first stage. */
  readonly args: Readonly<Record<string, string>>
  readonly stages: readonly Stage[]
}

export interface Copy {
  /** A stage; undefined means the build's context. */
  readonly from: string | undefined
  readonly sources: readonly string[]
  readonly target: string
}

export function parseDockerfile(text: string): Dockerfile {
  const args: Record<string, string> = {}
  const stages: { name: string; base: string; instructions: Instruction[] }[] = []
  for (const line of joinLines(text)) {
    const [, verb = '', rest = ''] = /^([A-Z]+)\s+(.*)$/s.exec(line) ?? []
    const stage = stages.at(-1)
    if (verb === 'FROM') {
      const words = rest.split(/\s+/).filter((word) => !word.startsWith('--'))
      const [base = '', as, name = ''] = words
      if (as !== 'AS' || name === '') throw new DecodeError('FROM', rest, 'an image AS a name')
      stages.push({ name, base, instructions: [] })
    } else if (stage !== undefined) stage.instructions.push({ verb, text: rest })
    else Object.assign(args, parseArg(rest))
  }
  return { args, stages }
}

export function getStage({ stages }: Dockerfile, name: string): Stage {
  const found = stages.find((stage) => stage.name === name)
  if (found !== undefined) return found
  const known = stages.map((stage) => stage.name).join(', ')
  throw new DecodeError('stage', name, `one of ${known}`)
}

/** The defaults of a stage's own ARGs. */
export function readArgs({ instructions }: Stage): Readonly<Record<string, string>> {
  const own = instructions.filter(({ verb }) => verb === 'ARG').map(({ text }) => parseArg(text))
  return Object.assign({}, ...own) as Record<string, string>
}

/**
 * Undefined for a line that installs nothing. A line that installs may otherwise only remove apt's files, which
 * no root of ours has, because we could not know the effect of other commands.
 */
export function readInstalled(
  { verb, text }: Instruction,
  args: Readonly<Record<string, string>>,
): readonly string[] | undefined {
  if (verb !== 'RUN' || !text.includes('apt-get')) return undefined
  const words =
    /^apt-get update -qq && apt-get install (?:-\S+ )*(.*?) >\/dev\/null(?: && rm -rf [\w/ .*-]+)?$/.exec(
      text,
    )?.[1]
  if (words === undefined)
    throw new DecodeError('RUN', text, 'apt-get update and install, and no other command')
  const expanded = words.replaceAll(/\$(\w+)/g, (_, name: string) => args[name] ?? '')
  return expanded.split(/\s+/)
}

export function parseCopy({ text }: Instruction): Copy {
  const words = text.split(/\s+/)
  const from = words[0]?.startsWith('--from=') ? words.shift()?.slice('--from='.length) : undefined
  const target = words.pop()
  if (target === undefined || words.length === 0 || words[0]?.startsWith('--') === true)
    throw new DecodeError('COPY', text, 'sources and a target, and no option but --from')
  return { from, sources: words, target }
}

/** What a stage says about how its containers start. */
export function readStart(stage: Stage): ImageStart {
  const find = (name: string): string | undefined =>
    stage.instructions.findLast(({ verb }) => verb === name)?.text
  const entrypoint: unknown = JSON.parse(find('ENTRYPOINT') ?? '[]')
  const user = find('USER')
  const env = Object.fromEntries(
    stage.instructions
      .filter(({ verb }) => verb === 'ENV')
      .flatMap(({ text }) => text.split(/\s+/))
      .map((word) => Object.entries(parseArg(word))[0] ?? []),
  ) as Record<string, string>
  return { entrypoint: entrypoint as string[], ...(user === undefined ? {} : { user }), env }
}

/** Comments may stand between the lines of one instruction. */
function joinLines(text: string): readonly string[] {
  const lines = text.split('\n').filter((line) => !/^\s*(#|$)/.test(line))
  const joined = lines.join('\n').replaceAll(/\s*\\\n\s*/g, ' ')
  return joined.split('\n').map((line) => line.trim())
}

function parseArg(text: string): Readonly<Record<string, string>> {
  const [, name = text, value = ''] = /^(\w+)=(.*)$/.exec(text) ?? []
  return { [name]: value.replace(/^"(.*)"$/, '$1') }
}
