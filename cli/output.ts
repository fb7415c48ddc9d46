// All that goes to the terminal: lines for people, one value as JSON or YAML for programs. Much of it others wrote; nothing of it is obeyed by a terminal.
import { Option } from 'commander'
import type { Document } from 'yaml'

import { toPrintable, toPrintableJson } from '../core/printable.ts'

export const OUTPUT_FORMATS = ['json', 'yaml'] as const
export type OutputFormat = (typeof OUTPUT_FORMATS)[number]

/** The option -o: JSON, YAML and what else a command has for people. */
export function newOutputOption(...others: readonly string[]): Option {
  return new Option('-o, --output <format>', 'how to print').choices([...others, ...OUTPUT_FORMATS])
}

export async function printValue(value: unknown, format: OutputFormat): Promise<void> {
  const text = format === 'json' ? `${JSON.stringify(value, undefined, 2)}\n` : await toYaml(value)
  process.stdout.write(toPrintableJson(text))
}

async function toYaml(value: unknown): Promise<string> {
  // A library that most runs do without.
  const { Document, visit } = await import('yaml')
  const document: Document = new Document(value, { aliasDuplicateObjects: false })
  visit(document, {
    // Only between double quotes has YAML escapes; they are JSON's.
    Scalar: (_, node) => {
      if (typeof node.value === 'string' && toPrintable(node.value) !== node.value)
        node.type = 'QUOTE_DOUBLE'
    },
  })
  return document.toString({ lineWidth: 0, doubleQuotedAsJSON: true })
}

export function printLines(lines: readonly string[]): void {
  process.stdout.write(toOutput(lines))
}

/** What is no answer: on standard error, so that programs need not read it. */
export function tell(...lines: readonly string[]): void {
  process.stderr.write(toOutput(lines))
}

/** As tell, by our name: something is amiss. */
export function complain(text: string): void {
  tell(`kubectl-l2wire: ${text}`)
}

function toOutput(lines: readonly string[]): string {
  return lines.map((line) => `${toPrintable(line)}\n`).join('')
}
