// The part of Bun's foreign function interface that peer.ts needs.
declare module 'bun:ffi' {
  type Value = 'i32' | 'ptr'
  interface Signature {
    readonly args: readonly Value[]
    readonly returns: 'i32'
  }
  export function dlopen<Name extends string>(
    library: string,
    functions: Readonly<Record<Name, Signature>>,
  ): { readonly symbols: Readonly<Record<Name, (...args: readonly unknown[]) => number>> }
  export function ptr(memory: Uint32Array): unknown
}
