import type { VNode } from 'preact';
import type { DeletionDocument } from '../../../../src/protocol/documents/images.js';
import { imagePath, send } from '../../api.ts';
import { count, formatBytes } from '../../format.ts';
import type { ImageName } from '../../image-links.ts';
import { DialogForm } from '../../parts/dialog.tsx';
import { Answered } from '../../parts/problem.tsx';
import { announce } from '../../parts/status.tsx';
import { Bytes, Digest, When } from '../../parts/texts.tsx';
import { useAnswer } from '../../use-answer.ts';

/** The content of an image to delete. */
export interface Targets {
  readonly tags: readonly string[];
  readonly digests: readonly string[];
}

/** Asks whether to delete tags or untagged manifests. The registry reports what it would delete, what stays, and why. */
export function DeleteTags({
  name,
  targets,
  onClose,
  onDeleted,
}: {
  readonly name: ImageName;
  readonly targets: Targets;
  readonly onClose: () => void;
  readonly onDeleted: () => void;
}): VNode {
  const path = `${imagePath(name.repository, name.image)}/delete`;
  const preview = useAnswer(() => send<DeletionDocument>('POST', path, { ...targets, dry_run: true }), [path, targets]);
  const what = describeTargets(targets);
  const submit = async (): Promise<void> => {
    const { counts, frees_bytes: bytes } = await send<DeletionDocument>('POST', path, targets);
    announce(`Deleted ${count(counts.tags, 'tag')} and ${count(counts.manifests, 'manifest')}: ${formatBytes(bytes)}`);
    onDeleted();
  };
  const { counts } = preview.value ?? {};
  return (
    <DialogForm
      title={`Delete ${what}?`}
      submit="Delete"
      what="They could not be deleted"
      isDangerous
      isWide
      isReady={counts !== undefined && counts.tags + counts.manifests > 0}
      onSubmit={submit}
      onClose={onClose}
    >
      <Answered answer={preview} what="The preview could not be read">
        {(report) => <Preview report={report} />}
      </Answered>
    </DialogForm>
  );
}

function describeTargets({ tags, digests }: Targets): string {
  const [only] = tags;
  if (tags.length === 1 && digests.length === 0) return `tag ${only}`;
  if (digests.length === 0) return count(tags.length, 'tag');
  return count(digests.length, 'untagged manifest');
}

/** The number of items of each list that the dialog shows. */
const maxShown = 8;

function Preview({ report }: { readonly report: DeletionDocument }): VNode {
  const { counts, frees_bytes: bytes, frees_at: at, stays, refused } = report;
  return (
    <div class="preview">
      <p>
        Deletes {count(counts.tags, 'tag')} and {count(counts.manifests, 'manifest')}, and frees <Bytes value={bytes} />
        {at === null ? '' : ' '}
        {at === null ? undefined : <When at={at} />}.
      </p>
      {refused.length === 0 ? undefined : (
        <>
          <h3>Refused</h3>
          <ul>
            {refused.slice(0, maxShown).map(({ message }) => (
              <li key={message}>{message}</li>
            ))}
            <More shown={Math.min(maxShown, refused.length)} of={counts.refused} />
          </ul>
        </>
      )}
      {stays.length === 0 ? undefined : (
        <>
          <h3>Stays</h3>
          <ul>
            {stays.slice(0, maxShown).map(({ digest, because, by }) => (
              <li key={digest + (by ?? '')}>
                <Digest value={digest} /> {reasonOf(because, by)}
              </li>
            ))}
            <More shown={Math.min(maxShown, stays.length)} of={counts.stays} />
          </ul>
        </>
      )}
    </div>
  );
}

function reasonOf(because: string, by = ''): string {
  const name = by.includes(':') ? by.slice(7, 19) : by;
  if (because === 'tag') return `is named by tag ${name}`;
  if (because === 'index') return `is part of index ${name}`;
  if (because === 'subject') return `refers to ${name}, which stays`;
  return 'keeps changing';
}

function More({ shown, of }: { readonly shown: number; readonly of: number }): VNode | null {
  return of > shown ? <li class="faint">and {count(of - shown, 'other')}</li> : null;
}
