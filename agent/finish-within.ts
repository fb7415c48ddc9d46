// Waits for something that may take longer than its asker has.

/** Undefined when it succeeds in time; else why it failed, or that it is late. It goes on either way. */
export async function finishWithin(
  going: Promise<void>,
  timeoutMs: number,
): Promise<{ readonly error: unknown } | undefined> {
  const late = Promise.withResolvers<{ readonly error: unknown }>()
  const timer = setTimeout(() => {
    late.resolve({ error: new Error(`Not done within ${timeoutMs / 1000} s`) })
  }, timeoutMs)
  try {
    return await Promise.race([
      going.then(
        () => undefined,
        (error: unknown) => ({ error }),
      ),
      late.promise,
    ])
  } finally {
    clearTimeout(timer)
  }
}
