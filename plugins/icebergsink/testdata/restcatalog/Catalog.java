import java.net.InetSocketAddress;
import java.util.Map;
import org.apache.hadoop.conf.Configuration;
import org.apache.iceberg.CatalogUtil;
import org.apache.iceberg.rest.RESTCatalogAdapter;
import org.apache.iceberg.rest.RESTCatalogServlet;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.servlet.ServletHolder;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;

/** Apache Iceberg's reference REST catalog on a port of the system's choice, which is the first line of output. */
public class Catalog {
  public static void main(String[] args) throws Exception {
    var catalog = CatalogUtil.buildIcebergCatalog("backend", Map.of(
        "type", "jdbc", "uri", "jdbc:sqlite:" + args[0] + "/rest.db", "warehouse", "file://" + args[0] + "/warehouse",
        "jdbc.schema-version", "V1", "io-impl", "org.apache.iceberg.hadoop.HadoopFileIO"), new Configuration());
    var context = new ServletContextHandler(ServletContextHandler.NO_SESSIONS);
    context.addServlet(new ServletHolder(new RESTCatalogServlet(new RESTCatalogAdapter(catalog))), "/*");
    var server = new Server(new InetSocketAddress("127.0.0.1", 0));
    server.setHandler(context);
    server.start();
    System.out.println(((ServerConnector) server.getConnectors()[0]).getLocalPort());
    // the test closes standard input when it ends, however it ends
    while (System.in.read() >= 0) {}
    System.exit(0);
  }
}
