import type { VNode } from 'preact';
import { send } from '../../api.ts';
import { count } from '../../format.ts';
import { DialogForm } from '../../parts/dialog.tsx';
import { Facts } from '../../parts/page.tsx';
import { Answered } from '../../parts/problem.tsx';
import { announce } from '../../parts/status.tsx';
import { Bytes } from '../../parts/texts.tsx';
import { useAnswer } from '../../use-answer.ts';

interface Content {
  readonly images: number;
  readonly tags: number;
  readonly manifests: number;
  readonly size_bytes: number;
}

/** Deletes the content of a cache, or of one tag, after it has shown what the registry would delete. */
export function PurgeCache({
  repository,
  image,
  tag,
  onClose,
  onDone,
}: {
  readonly repository: string;
  readonly image?: string;
  readonly tag?: string;
  readonly onClose: () => void;
  readonly onDone: () => void;
}): VNode {
  const path = `repositories/${repository}/cache`;
  const name = image === undefined ? repository : `${repository}/${image}:${tag ?? ''}`;
  const preview = useAnswer(() => send<Content>('DELETE', path, undefined, { image, tag, dry_run: true }), [name]);
  const purge = async (): Promise<void> => {
    const done = await send<{ readonly manifests: number }>('DELETE', path, undefined, { image, tag });
    announce(`Purged ${count(done.manifests, 'manifest')}`);
    onClose();
    onDone();
  };
  return (
    <DialogForm
      title={`Purge ${name}?`}
      submit="Purge"
      what="The cache could not be purged"
      isDangerous
      isReady={preview.value !== undefined}
      onSubmit={purge}
      onClose={onClose}
    >
      <Answered answer={preview} what="The preview could not be read">
        {({ tags, manifests, size_bytes: bytes }) => (
          <Facts
            facts={[
              ['Deletes', `${count(tags, 'tag')}, ${count(manifests, 'manifest')}`],
              ['Size, at most', <Bytes key="bytes" value={bytes} />],
            ]}
          />
        )}
      </Answered>
      <p>The next pull asks the upstream again.</p>
    </DialogForm>
  );
}
