import java.io.PrintStream;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.opensearch.Version;
import org.opensearch.action.admin.cluster.health.ClusterHealthRequestBuilder;
import org.opensearch.common.logging.LogConfigurator;
import org.opensearch.common.settings.Settings;
import org.opensearch.env.Environment;
import org.opensearch.http.HttpServerTransport;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.plugins.PluginInfo;
import org.opensearch.transport.Netty4ModulePlugin;

/** One OpenSearch node on loopback: arguments, output and end are described in {@code run}. */
public class RealOpenSearch extends Node {
    private RealOpenSearch(Environment environment) {
        super(environment, List.of(netty()), false);
    }

    private static PluginInfo netty() {
        String name = Netty4ModulePlugin.class.getName();
        return new PluginInfo("netty4", "", "", Version.CURRENT, "21", name, List.of(), false);
    }

    public static void main(String[] args) {
        // Standard output has one line only; whatever logs comes to standard error.
        PrintStream out = System.out;
        System.setOut(System.err);
        try {
            Settings.Builder settings = Settings.builder()
                .put("path.home", args[0])
                .put("network.host", "127.0.0.1")
                .put("http.port", 0)
                .put("transport.port", 0)
                .put("discovery.type", "single-node")
                // A disk that is nearly full must not fail tests, nor may the watch over it take back an
                // index.blocks.read_only_allow_delete that a test has set.
                .put("cluster.routing.allocation.disk.threshold_enabled", false)
                .put("logger.level", "WARN");
            for (String argument : List.of(args).subList(1, args.length)) {
                String[] setting = argument.split("=", 2);
                settings.put(setting[0], setting[1]);
            }
            LogConfigurator.configureWithoutConfig(settings.build());

            Environment environment =
                InternalSettingsPreparer.prepareEnvironment(settings.build(), Map.of(), null, () -> "real");
            RealOpenSearch node = new RealOpenSearch(environment);
            // Both ends come here: SIGTERM, and the exit below.
            Runtime.getRuntime().addShutdownHook(new Thread(() -> {
                try {
                    node.close();
                } catch (Exception e) {
                    e.printStackTrace();
                }
            }));
            node.start();
            // Not before what an earlier run has left is served again.
            ClusterHealthRequestBuilder health = node.client().admin().cluster().prepareHealth();
            if (health.setWaitForYellowStatus().setTimeout("5m").get().isTimedOut()) {
                throw new IllegalStateException("what an earlier run has left is not served again");
            }
            out.println("listening http://127.0.0.1:"
                + node.injector().getInstance(HttpServerTransport.class).boundAddress().publishAddress().getPort());
            out.flush();
            while (System.in.read() != -1) {
                // Only its end means something.
            }
        } catch (Throwable e) {
            e.printStackTrace();
            // Without it, threads that have started already keep this running.
            System.exit(1);
        }
        System.exit(0);
    }
}
