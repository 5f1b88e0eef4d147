import { expect, it } from 'vitest';
import type { ObjectLedger, ObjectPlace } from '../../src/ports/metadata/object-ledger.js';
import { collect, digest } from './metadata-samples.js';
import { claim } from './object-ledger-samples.js';

const place = (key: string): ObjectPlace => ({ key, size: 10, etag: 'e', storedAt: 5 });
const tail = (key: string) => ({ key, size: 3, etag: 'e' });

/** Tests what an audit reads and writes. */
export function auditing(ledger: () => ObjectLedger): void {
  it('objects() yields the objects with a prefix: of places, uploads and the trash', async () => {
    for (const name of ['a', 'b']) await ledger().putPlace(digest(name), place(`o/${name}1`), { until: 1 });
    await ledger().putPlace(digest('a'), place('o/a2'), { until: 100 });
    await ledger().reserve({ key: 'o/a3' }, 100);
    await ledger().reserve({ key: 'p' }, 100);
    const held = await claim(ledger(), 'u', 'o/a4');
    const bytes = { key: 'o/a4', parts: [], modifiedAt: 7, tail: tail('o/a5'), formerTail: tail('o/a6') };
    await ledger().saveStaged(held, bytes, { until: 100 });
    const found = await collect(ledger().objects('o/a'));
    const keys = found.map(({ key, digest: named }) => (named === undefined ? key : `${key} ${named}`));
    expect([...new Set(keys)].toSorted()).toEqual(
      ['o/a1', `o/a2 ${digest('a')}`, 'o/a3', 'o/a4', 'o/a5', 'o/a6'].toSorted(),
    );
  });

  it('objects() by the first digits of an audit yields each object exactly once', async () => {
    const { auditSteps } = ledger();
    const digits = Math.log2(auditSteps) / 4;
    const keys = Array.from({ length: 64 }, (_, i) => `o/${(i * 4).toString(16).padStart(2, '0')}-${i}`);
    for (const key of keys) await ledger().putPlace(digest(key), place(key), { until: 1 });
    const found: string[] = [];
    for (let step = 0; step < auditSteps; step += 1) {
      const part = await collect(ledger().objects(`o/${step.toString(16).padStart(digits, '0')}`));
      found.push(...part.map(({ key }) => key));
    }
    expect(found.toSorted()).toEqual(keys.toSorted());
  });

  it('saveAudit() replaces the state of the audit, unless another process did', async () => {
    expect(await ledger().audit()).toBeUndefined();
    const first = { step: 1, at: 10 };
    await ledger().saveAudit(undefined, first);
    await ledger().saveAudit(undefined, { step: 1, at: 20 });
    expect(await ledger().audit()).toEqual(first);
    await ledger().saveAudit(first, { step: 2, at: 30 });
    await ledger().saveAudit(first, { step: 2, at: 40 });
    expect(await ledger().audit()).toEqual({ step: 2, at: 30 });
  });
}
