// What programs read: one value, as JSON or YAML.
import { Option } from 'commander'

export const OUTPUT_FORMATS = ['json', 'yaml'] as const
export type OutputFormat = (typeof OUTPUT_FORMATS)[number]

/** The option -o: JSON, YAML and what else a command has for people. */
export function newOutputOption(...others: readonly string[]): Option {
  return new Option('-o, --output <format>', 'how to print').choices([...others, ...OUTPUT_FORMATS])
}

export async function printValue(value: unknown, format: OutputFormat): Promise<void> {
  // A library that most runs do without.
  const text =
    format === 'json'
      ? `${JSON.stringify(value, undefined, 2)}\n`
      : (await import('yaml')).stringify(value, { aliasDuplicateObjects: false, lineWidth: 0 })
  process.stdout.write(text)
}

export function printLines(lines: readonly string[]): void {
  process.stdout.write(lines.map((line) => `${line}\n`).join(''))
}
