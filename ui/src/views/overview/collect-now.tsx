import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { send } from '../../api.ts';
import { count, formatBytes } from '../../format.ts';
import { DialogForm } from '../../parts/dialog.tsx';
import { Facts } from '../../parts/page.tsx';
import { Answered } from '../../parts/problem.tsx';
import { announce } from '../../parts/status.tsx';
import { Bytes } from '../../parts/texts.tsx';
import { useAnswer } from '../../use-answer.ts';

interface Report {
  readonly blobs_deleted: number;
  readonly bytes_freed: number;
}

/** A button that collects garbage, after it has shown what the registry would free. */
export function CollectNow({ onDone }: { readonly onDone: () => void }): VNode {
  const [isOpen, setOpen] = useState(false);
  const close = (): void => setOpen(false);
  return (
    <>
      <button type="button" onClick={() => setOpen(true)}>
        Collect now…
      </button>
      {isOpen ? (
        <Collect
          onClose={close}
          onDone={() => {
            close();
            onDone();
          }}
        />
      ) : undefined}
    </>
  );
}

function Collect({ onClose, onDone }: { readonly onClose: () => void; readonly onDone: () => void }): VNode {
  const preview = useAnswer(() => send<Report>('POST', 'gc', undefined, { dry_run: true }), []);
  const collect = async (): Promise<void> => {
    const { blobs_deleted: blobs, bytes_freed: bytes } = await send<Report>('POST', 'gc');
    announce(`Deleted ${count(blobs, 'blob')}: ${formatBytes(bytes)}`);
    onDone();
  };
  return (
    <DialogForm
      title="Collect garbage now?"
      submit="Collect"
      what="Garbage collection failed"
      isDangerous
      isReady={preview.value !== undefined}
      onSubmit={collect}
      onClose={onClose}
    >
      <Answered answer={preview} what="The preview could not be read">
        {({ blobs_deleted: blobs, bytes_freed: bytes }) => (
          <Facts
            facts={[
              ['Deletes', `${count(blobs, 'blob')} that nothing references`],
              ['Frees', <Bytes key="bytes" value={bytes} />],
            ]}
          />
        )}
      </Answered>
      <p>Content that was referenced until recently stays for a grace period.</p>
    </DialogForm>
  );
}
