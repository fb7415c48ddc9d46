// What a shell may offer for the word that is being typed, from what the commands say of themselves.

export interface CompletedOption {
  readonly short: string | undefined
  readonly long: string
  readonly description: string
  readonly takesValue: boolean
  readonly choices: readonly string[]
}

export interface CompletedCommand {
  readonly name: string
  readonly description: string
  readonly options: readonly CompletedOption[]
  /** Names of its arguments; the last one may repeat. */
  readonly argumentNames: readonly string[]
  readonly argumentChoices: readonly string[]
  readonly isVariadic: boolean
}

export interface Candidate {
  readonly word: string
  readonly description: string
}

/** What to offer: words, or what must be looked up under a name: an option's ("namespace") or an argument's ("wire"). */
export interface Offer {
  readonly candidates: readonly Candidate[]
  readonly lookup: string | undefined
  /** What is typed of it, and what of the word stands before it: "--namespace=". */
  readonly typed: string
  readonly prefix: string
  /** Long options typed before, with their values. */
  readonly flags: Readonly<Record<string, string>>
  /** Arguments typed before. */
  readonly operands: readonly string[]
}

/** The offer for the last of the words; the program's name is not among them. */
export function findOffer(commands: readonly CompletedCommand[], words: readonly string[]): Offer {
  const typed = words.at(-1) ?? ''
  const nothing: Offer = {
    candidates: [],
    lookup: undefined,
    typed,
    prefix: '',
    flags: {},
    operands: [],
  }
  if (words.length <= 1) {
    const candidates = commands.map(({ name: word, description }) => ({ word, description }))
    return { ...nothing, candidates: startingWith(candidates, typed) }
  }
  const command = commands.find(({ name }) => name === words[0])
  if (command === undefined) return nothing
  const before = readWords(command, words.slice(1, -1))
  const known = { ...nothing, flags: before.flags, operands: before.operands }
  const joined = /^(--[a-z-]+=)(.*)$/.exec(typed)
  if (joined !== null) {
    const [, prefix = '', value = ''] = joined
    return offerValue(findOption(command, prefix.slice(0, -1)), { ...known, typed: value, prefix })
  }
  if (before.pending !== undefined) return offerValue(before.pending, known)
  if (typed.startsWith('-'))
    return { ...known, candidates: startingWith(listFlags(command, before.flags), typed) }
  return offerArgument(command, known)
}

interface WordsRead {
  readonly flags: Readonly<Record<string, string>>
  readonly operands: readonly string[]
  /** The option whose value comes next. */
  readonly pending: CompletedOption | undefined
}

function readWords(command: CompletedCommand, words: readonly string[]): WordsRead {
  const flags: Record<string, string> = {}
  const operands: string[] = []
  let pending: CompletedOption | undefined
  for (const word of words) {
    const [, name = word, value] = /^(--[a-z-]+)=(.*)$/.exec(word) ?? []
    if (pending !== undefined) {
      flags[pending.long] = word
      pending = undefined
    } else if (!word.startsWith('-')) operands.push(word)
    else {
      const option = findOption(command, name)
      if (option === undefined) continue
      if (option.takesValue && value === undefined) pending = option
      else flags[option.long] = value ?? ''
    }
  }
  return { flags, operands, pending }
}

function findOption(command: CompletedCommand, word: string): CompletedOption | undefined {
  return command.options.find(({ short, long }) => word === `--${long}` || word === short)
}

function listFlags(
  command: CompletedCommand,
  given: Readonly<Record<string, string>>,
): readonly Candidate[] {
  return command.options
    .filter(({ long }) => !(long in given))
    .flatMap(({ short, long, description }) =>
      [`--${long}`, ...(short === undefined ? [] : [short])].map((word) => ({ word, description })),
    )
}

function offerValue(option: CompletedOption | undefined, known: Offer): Offer {
  if (option === undefined) return known
  const candidates = option.choices.map((word) => ({ word, description: '' }))
  return {
    ...known,
    candidates: startingWith(candidates, known.typed),
    lookup: option.choices.length > 0 ? undefined : option.long,
  }
}

function offerArgument(command: CompletedCommand, known: Offer): Offer {
  const at = known.operands.length
  const { argumentNames, isVariadic } = command
  const name = argumentNames[at] ?? (isVariadic ? argumentNames.at(-1) : undefined)
  if (name === undefined) return known
  const candidates = command.argumentChoices.map((word) => ({ word, description: '' }))
  return {
    ...known,
    candidates: startingWith(candidates, known.typed),
    lookup: candidates.length > 0 ? undefined : name,
  }
}

export function startingWith(
  candidates: readonly Candidate[],
  typed: string,
): readonly Candidate[] {
  return candidates.filter(({ word }) => word.startsWith(typed))
}

/** Cobra's protocol, which kubectl asks of its plugins: a candidate per line, a directive at the end. */
export function renderOffer(
  candidates: readonly Candidate[],
  prefix: string,
  isFile: boolean,
): string {
  const lines = candidates.map(({ word, description }) =>
    description === '' ? `${prefix}${word}` : `${prefix}${word}\t${description}`,
  )
  // 4: no files; 0: files, where nothing else is offered.
  return [...lines, isFile ? ':0' : ':4', ''].join('\n')
}
