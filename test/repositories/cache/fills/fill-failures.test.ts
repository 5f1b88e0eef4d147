import { describe, expect, it } from 'vitest';
import { createRuntime } from '../../../../src/composition/runtime.js';
import { digestOf } from '../../../../src/protocol/digest.js';
import { RegistryError } from '../../../../src/protocol/errors.js';
import { FillFailures } from '../../../../src/repositories/cache/fills/fill-failures.js';
import { recordingLogger } from '../../../support/servers/registry.js';

const at = { repository: 'hub', image: 'team/app' };
const digest = (index: number) => digestOf(Buffer.from(`blob ${index}`));

describe('the failures of fills', () => {
  it('are remembered without their causes and stacks, and answer the same', () => {
    const failures = new FillFailures(createRuntime(recordingLogger()));
    const cause = Object.assign(new Error('cause'), { body: Buffer.alloc(1_000_000) });
    const headers = { 'Retry-After': '7' };
    failures.note(
      at,
      digest(1),
      new RegistryError('UNAVAILABLE', { message: 'cut', detail: { a: 1 }, headers, cause }),
    );
    const refusal = failures.refusal(at, digest(1));
    expect(refusal?.retryAfterSeconds).toBe(1);
    const { code, status, message, detail, stack } = refusal?.error ?? {};
    expect([code, status, message, detail, stack]).toEqual(['UNAVAILABLE', 503, 'cut', { a: 1 }, undefined]);
    expect([refusal?.error.headers, refusal?.error.cause]).toEqual([headers, undefined]);
  });

  it('hold 1 MiB together, however long their messages are: the oldest are dropped', () => {
    const failures = new FillFailures(createRuntime(recordingLogger()));
    const error = new RegistryError('UNAVAILABLE', {
      message: 'x'.repeat(10_000),
      detail: { reason: 'y'.repeat(10_000) },
    });
    for (let i = 0; i < 1000; i++) failures.note(at, digest(i), error);
    expect(failures.bytes).toBeLessThanOrEqual(1024 * 1024);
    expect(failures.bytes).toBeGreaterThan(1_000_000);
    expect([failures.refusal(at, digest(0)), failures.refusal(at, digest(999))?.error.code]).toEqual([
      undefined,
      'UNAVAILABLE',
    ]);
  });
});
